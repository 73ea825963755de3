//! Any text as a contract: it is read, checked and compiled, or refused with places within the text.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let path = std::path::Path::new("fuzz.odcs.yaml");
    match seawall_catalog::project::lint(path, text, &Default::default()) {
        Ok(linted) => {
            // What was read can be written and read again.
            let json = serde_json::to_value(&linted.contract).expect("a contract is plain data");
            let again: seawall_kernel::contract::Contract = serde_json::from_value(json).expect("it was one");
            assert_eq!(again, linted.contract);
        }
        Err(found) => {
            let text = text.strip_prefix('\u{feff}').unwrap_or(text);
            assert!(found.error_count() > 0);
            assert!(found.iter().all(|problem| problem.span.end <= text.len()));
        }
    }
});
