//! Launch descriptions: what is accepted is of this version and names a program; what is not is refused in one line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use replicante_shim::description::parse;

fuzz_target!(|bytes: &[u8]| {
    match parse(bytes) {
        Ok(description) => {
            assert_eq!(description.version, replicante_shim::VERSION);
            assert!(
                description
                    .argv
                    .first()
                    .is_some_and(|program| !program.is_empty())
            );
            // Whoever reads it by the strict reader sees the same document.
            let end = bytes.len() - description.policy.len() - 1;
            assert!(replicante_core::json::Json::check(&bytes[..end]).is_ok());
        }
        Err(error) => {
            let line = error.to_string();
            assert!(line.starts_with("error[L00"), "{line}");
            assert!(!line.contains(|c: char| c.is_control()), "{line:?}");
            assert_eq!(error.exit_code(), 125);
        }
    }
});
