//! Linker arguments of the filter.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // The linker leaves five bytes for each address and each function's number; most need two.
    println!("cargo::rustc-link-arg-cdylib=--compress-relocations");
    // The stack stands below the data, so that it cannot grow into them. With half a mebibyte, and not a whole one, each
    // address of theirs is a byte shorter; the deepest recursion is through 127 levels of a config.
    println!("cargo::rustc-link-arg-cdylib=-zstack-size=524288");
    // What of libc would bring its allocator: see their namesakes in src/host/abi.rs.
    println!("cargo::rustc-link-arg-cdylib=--wrap=getenv");
    println!("cargo::rustc-link-arg-cdylib=--wrap=getcwd");
}
