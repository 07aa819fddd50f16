;; A filter in WebAssembly text: it notes each request in shared data and tells the application that it has seen it.
;; When it cannot write the note it answers 503 itself. A filter built from Rust, C++ or Go is loaded the same way.
(module
  (import "env" "proxy_set_shared_data" (func $write (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_send_local_response"
    (func $answer (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))

  (memory (export "memory") 1)
  (data (i32.const 0) "last")
  (data (i32.const 16) "request")
  (data (i32.const 32) "x-seen")
  (data (i32.const 48) "yes")
  (data (i32.const 64) "no memory")

  (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param i32) (result i32) (i32.const 1024))

  (func (export "proxy_on_request_headers") (param $context i32) (param $count i32) (param $end i32) (result i32)
    ;; Key, value, and the CAS number 0: whatever is there is overwritten.
    (if (call $write (i32.const 0) (i32.const 4) (i32.const 16) (i32.const 7) (i32.const 0))
      (then
        ;; Status, details, body, headers, and the gRPC status.
        (drop (call $answer (i32.const 503) (i32.const 0) (i32.const 0) (i32.const 64) (i32.const 9)
          (i32.const 0) (i32.const 0) (i32.const -1)))
        ;; Pause.
        (return (i32.const 1))))
    ;; Map 0: the request's headers.
    (drop (call $add (i32.const 0) (i32.const 32) (i32.const 6) (i32.const 48) (i32.const 3)))
    ;; Continue.
    (i32.const 0)))
