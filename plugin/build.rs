//! Linker arguments of the filter.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // The linker leaves five bytes for each address and each function's number; most need two.
    println!("cargo::rustc-link-arg-cdylib=--compress-relocations");
}
