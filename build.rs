//! The program carries the Python driver: build again when a file of it comes or goes.

fn main() {
    println!("cargo::rerun-if-changed=drivers/python/doyen_driver");
    println!("cargo::rerun-if-changed=drivers/python/sparkjobserver");
}
