//! Builds `replicante-shim` and gathers the shipped policies for the wheel, when maturin asks for it.
//!
//! The shim is a program of its own with a profile of its own (`panic = "abort"`, static, small), so Cargo has
//! to be called a second time; maturin picks both up from `OUT_DIR` (pyproject.toml, `include`). Without the
//! feature `bundle-shim` nothing happens here: check, clippy and test stay fast.
// Cargo reads its directives from standard output, and a build script has no other way to fail than to panic.
#![allow(clippy::print_stdout, clippy::panic)]

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The variable that sets the shim's target triple, for wheels that are built for another C library.
const TARGET_VARIABLE: &str = "REPLICANTE_SHIM_TARGET";
const PROGRAM: &str = "replicante-shim";

fn main() {
    if env::var_os("CARGO_FEATURE_BUNDLE_SHIM").is_none() {
        println!("cargo::rerun-if-changed=build.rs");
        return;
    }
    let root = required_path("CARGO_MANIFEST_DIR").join("../..");
    let out = required_path("OUT_DIR");
    for watched in [
        "rust/core",
        "rust/sandbox",
        "rust/shim",
        "Cargo.lock",
        "Cargo.toml",
        "policies",
        "rust/python/build.rs",
    ] {
        println!("cargo::rerun-if-changed={}", root.join(watched).display());
    }
    println!("cargo::rerun-if-env-changed={TARGET_VARIABLE}");
    if let Err(message) = copy_policies(&root.join("policies"), &out.join("policies")) {
        panic!("the shipped policies can't be copied: {message}");
    }
    if !has_shim() {
        println!("cargo::warning=no shim for this system: policy tools work, `replicante run` does not");
        return;
    }
    match build_shim(&root, &out) {
        Ok(()) => {}
        Err(message) => panic!("replicante-shim can't be built: {message}"),
    }
}

/// Linux on `x86_64` and aarch64 runs agents; the wheel of other systems has the policy tools alone.
fn has_shim() -> bool {
    let is = |name: &str, values: &[&str]| env::var(name).is_ok_and(|value| values.contains(&value.as_str()));
    is("CARGO_CFG_TARGET_OS", &["linux"]) && is("CARGO_CFG_TARGET_ARCH", &["x86_64", "aarch64"])
}

fn build_shim(root: &Path, out: &Path) -> Result<(), String> {
    let target = shim_target()?;
    // A target folder of its own: sharing the outer one would wait for its lock for ever.
    let target_dir = out.join("shim-target");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(root)
        .args([
            "build",
            "--locked",
            "--package",
            PROGRAM,
            "--profile",
            "shim",
            "--target",
            &target,
        ])
        .arg("--target-dir")
        .arg(&target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", static_flags())
        // What the outer build was told about itself is not meant for the inner one.
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("CARGO_BUILD_TARGET");
    if target.ends_with("-musl") {
        // Rust brings start files, C library and linker for this target: no C compiler has a say in it.
        let name = format!("CARGO_TARGET_{}_LINKER", target.to_uppercase().replace('-', "_"));
        cargo.env(name, "rust-lld");
    }
    let status = cargo
        .status()
        .map_err(|error| format!("cargo can't be started: {error}"))?;
    if !status.success() {
        return Err(format!("cargo build for {target} ended with {status}"));
    }
    let built = target_dir.join(&target).join("shim").join(PROGRAM);
    let bytes = fs::read(&built).map_err(|error| format!("{}: {error}", built.display()))?;
    if has_interpreter(&bytes)? {
        return Err(format!(
            "the program for {target} needs a dynamic loader, so it could not start inside a changed root; \
             install the static C library (libc6-dev, glibc-static) or `rustup target add {}`",
            musl_target(&target)
        ));
    }
    fs::copy(&built, out.join(PROGRAM)).map_err(|error| format!("{}: {error}", built.display()))?;
    Ok(())
}

/// The triple that links statically here: the wheel's own where `libc.a` is there, else musl.
fn shim_target() -> Result<String, String> {
    if let Ok(chosen) = env::var(TARGET_VARIABLE) {
        return Ok(chosen);
    }
    let own = env::var("TARGET").map_err(|error| format!("TARGET: {error}"))?;
    if own.ends_with("-musl") || has_static_libc() {
        return Ok(own);
    }
    let musl = musl_target(&own);
    if has_standard_library(&musl) {
        return Ok(musl);
    }
    Err(format!(
        "there is no static C library (libc.a) and no Rust library for {musl}; run `rustup target add {musl}`"
    ))
}

fn musl_target(target: &str) -> String {
    target.replace("-gnu", "-musl")
}

/// Whether the C compiler knows a `libc.a`: it answers with a path when it does, else with the bare name.
/// zig's does not know any, and with it `+crt-static` would yield a dynamic program without a word.
fn has_static_libc() -> bool {
    let compiler = env::var_os("CC").unwrap_or_else(|| "cc".into());
    Command::new(compiler)
        .arg("-print-file-name=libc.a")
        .output()
        .is_ok_and(|output| {
            output.status.success() && Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_absolute()
        })
}

fn has_standard_library(target: &str) -> bool {
    let compiler = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    Command::new(compiler)
        .args(["--print", "target-libdir", "--target", target])
        .output()
        .is_ok_and(|output| {
            output.status.success() && Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir()
        })
}

/// The outer build's flags and `+crt-static`, in Cargo's form (separated by the unit separator).
fn static_flags() -> OsString {
    let mut flags = env::var_os("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    if !flags.is_empty() {
        flags.push("\u{1f}");
    }
    flags.push("-Ctarget-feature=+crt-static");
    flags
}

/// Whether an ELF program names a dynamic loader (`PT_INTERP`; System V ABI, "Program Header").
fn has_interpreter(elf: &[u8]) -> Result<bool, String> {
    const PT_INTERP: u64 = 3;
    // Both supported CPUs are 64-bit and little-endian; anything else here is a mistake of the build.
    if !elf.starts_with(b"\x7fELF\x02\x01") {
        return Err("the result is no 64-bit little-endian ELF program".into());
    }
    let number = |offset: usize, length: usize| -> Result<u64, String> {
        let bytes = elf
            .get(offset..offset + length)
            .ok_or("the program's headers are cut short")?;
        Ok(bytes
            .iter()
            .rev()
            .fold(0, |value, byte| (value << 8) | u64::from(*byte)))
    };
    let index = |value: u64| usize::try_from(value).map_err(|error| error.to_string());
    let (table, size, count) = (
        index(number(32, 8)?)?,
        index(number(54, 2)?)?,
        index(number(56, 2)?)?,
    );
    for entry in 0..count {
        if number(table + entry * size, 4)? == PT_INTERP {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Copies the policies and their host sets flat into `to`, replacing what an earlier build left there.
fn copy_policies(from: &Path, to: &Path) -> std::io::Result<()> {
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

fn required_path(name: &str) -> PathBuf {
    match env::var_os(name) {
        Some(value) => PathBuf::from(value),
        None => panic!("cargo did not set {name}"),
    }
}
