//! Where libpaceline is: the folder in PACELINE_LIB_DIR, or where pkg-config finds it.
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=PACELINE_LIB_DIR");
    println!("cargo:rerun-if-env-changed=PKG_CONFIG_PATH");
    let dir = std::env::var("PACELINE_LIB_DIR").ok().or_else(from_pkg_config);
    if let Some(dir) = dir.filter(|dir| !dir.is_empty()) {
        println!("cargo:rustc-link-search=native={dir}");
        // examples and tests of this crate find it at run time, too
        println!("cargo:rustc-link-arg=-Wl,-rpath,{dir}");
    }
    println!("cargo:rustc-link-lib=dylib=paceline");
}

fn from_pkg_config() -> Option<String> {
    let words = ["--variable=libdir", "paceline"];
    let said = Command::new("pkg-config").args(words).output().ok()?;
    said.status.success().then(|| String::from_utf8_lossy(&said.stdout).trim().to_string())
}
