//! Cutting policy files, and where problems are said to be.

use super::*;

fn problems(text: &str) -> Vec<PolicyProblem> {
    let mut problems = Vec::new();
    parse("policies/a.cedar", text, &mut problems);
    problems
}

#[test]
fn a_file_is_cut_at_semicolons_outside_of_texts_and_comments() {
    let text = "// one; two\npermit (principal, action, resource); // three;\n\n\
                @note(\"a; \\\" // b;\")\n  forbid (principal, action, resource)\n  when { \"ä;\" == \"//\" };\n// end\n";
    let starts: Vec<&str> = cut(text)
        .iter()
        .map(|(at, statement)| {
            assert_eq!(&text[*at..at + statement.len()], *statement);
            &statement[..6]
        })
        .collect();
    assert_eq!(starts, ["permit", "@note("]);
    let mut none = Vec::new();
    let ids: Vec<String> = parse("a.cedar", text, &mut none).iter().map(|one| one.policy.id().to_string()).collect();
    assert_eq!(ids, ["a.cedar:2:1", "a.cedar:4:1"]);
    assert!(none.is_empty());
    assert!(cut("").is_empty() && cut(" // nothing").is_empty());
}

#[test]
fn a_statement_that_does_not_parse_is_shown_at_its_place() {
    let check = |text: &str, place: (usize, usize), message: &str| {
        let found = problems(text);
        let [problem] = found.as_slice() else { panic!("{text}: {found:#?}") };
        assert_eq!((problem.code, problem.line, problem.column), ("SW0613", place.0, place.1), "{text}");
        assert!(problem.message.contains(message), "{text}: {}", problem.message);
    };
    check("permit (principal, action, resource);\n\n  permit (principle, action, resource);", (3, 11), "principle");
    check("permit (principal, action, resource)", (1, 37), "unexpected end of input");
    check("permit (principal == ?principal, action, resource);", (1, 22), "template");
    check("permit (principal, action, resource) when { \"open };", (1, 45), "invalid token");
}

#[test]
fn a_mask_is_a_known_one_on_a_prohibition() {
    let check = |annotated: &str, message: &str| {
        let found = problems(&format!("{annotated} (principal, action == Action::\"read_raw\", resource);"));
        let found: Vec<(&str, &str)> = found.iter().map(|one| (one.code, one.message.as_str())).collect();
        assert_eq!(found, [("SW0616", message)]);
    };
    check("@mask(\"blur\") forbid", "\"blur\" is no mask");
    check("@mask(\"show-last-4\") permit", "a `permit` cannot mask");
    assert!(problems("@mask(\"show-last-4\") forbid (principal, action, resource);").is_empty());
}

#[test]
fn a_file_that_is_too_large_is_not_read() {
    let found = problems(&" ".repeat(FILE_BYTES_MAX + 1));
    assert_eq!(found.len(), 1);
    assert!(found[0].message.contains("too large"));
}
