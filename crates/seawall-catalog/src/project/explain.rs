//! What every code means: the pages of `docs/errors`, built in.

/// The pages, one per range of codes.
const PAGES: &[&str] = &[
    include_str!("../../../../docs/errors/SW01.md"),
    include_str!("../../../../docs/errors/SW02.md"),
    include_str!("../../../../docs/errors/SW03.md"),
    include_str!("../../../../docs/errors/SW04.md"),
    include_str!("../../../../docs/errors/SW05.md"),
    include_str!("../../../../docs/errors/SW06.md"),
    include_str!("../../../../docs/errors/SW07.md"),
    include_str!("../../../../docs/errors/SW08.md"),
    include_str!("../../../../docs/errors/SW09.md"),
    include_str!("../../../../docs/errors/SW10.md"),
    include_str!("../../../../docs/errors/SW11.md"),
    include_str!("../../../../docs/errors/SW12.md"),
    include_str!("../../../../docs/errors/SW13.md"),
    include_str!("../../../../docs/errors/SW14.md"),
    include_str!("../../../../docs/errors/SW15.md"),
    include_str!("../../../../docs/errors/SW16.md"),
    include_str!("../../../../docs/errors/SW17.md"),
    include_str!("../../../../docs/errors/SW19.md"),
];

/// The explanation of `code` (`SW0123`, in any case), as Markdown with its heading; `None` for an unknown code.
pub fn explain(code: &str) -> Option<String> {
    let wanted = code.trim().to_uppercase();
    sections().find(|(code, _)| *code == wanted).map(|(_, section)| section.trim_end().to_owned())
}

/// All codes that can be explained, in order.
pub fn codes() -> Vec<&'static str> {
    let mut codes: Vec<&str> = sections().map(|(code, _)| code).collect();
    codes.sort_unstable();
    codes
}

/// Codes with their sections, headings included.
fn sections() -> impl Iterator<Item = (&'static str, &'static str)> {
    PAGES.iter().copied().flat_map(|page| {
        let starts: Vec<usize> = page
            .match_indices("## SW")
            .map(|(at, _)| at)
            .filter(|at| *at == 0 || page[..*at].ends_with('\n'))
            .collect();
        let ends = starts.iter().skip(1).copied().chain([page.len()]).collect::<Vec<_>>();
        starts.into_iter().zip(ends).filter_map(|(start, end)| {
            let section = &page[start..end];
            let code = section.get(3..9)?;
            Some((code, section))
        })
    })
}
