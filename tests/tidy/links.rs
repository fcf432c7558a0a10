//! Links and pictures in Markdown that name files of the repository name files that exist.

use std::path::Path;

use crate::{none, tree};

/// The targets of `[text](target)`, `![text](target)` and `src="target"`, outside of code.
fn targets(markdown: &str) -> Vec<&str> {
    let (mut fenced, mut out) = (false, Vec::new());
    for line in markdown.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        // Every second piece between back ticks is code.
        for prose in line.split('`').step_by(2) {
            for (open, close) in [("](", ')'), ("src=\"", '"'), ("srcset=\"", '"')] {
                out.extend(prose.split(open).skip(1).filter_map(|rest| rest.split_once(close)).map(|(t, _)| t));
            }
        }
    }
    out
}

/// The path of a target in the repository; none for other sites and for places on the same page.
fn file(target: &str) -> Option<&str> {
    let path = target.split([' ', '#', '?']).next().unwrap_or_default();
    (!path.is_empty() && !path.contains("://") && !path.starts_with("mailto:")).then_some(path)
}

#[test]
fn links_lead_to_files_that_exist() {
    let files = tree::files();
    let dead = |page: &tree::File, target: &str| {
        let folder = Path::new(&page.path).parent().unwrap_or(Path::new(""));
        file(target).filter(|path| !tree::root().join(folder).join(path).exists()).is_some()
    };
    let pages = files.iter().filter(|f| f.extension() == "md").filter_map(|f| Some((f, f.text()?)));
    let offences = pages.flat_map(|(page, text)| {
        let dead = targets(text).into_iter().filter(|target| dead(page, target));
        dead.map(|target| format!("{}: no file {target}", page.path)).collect::<Vec<_>>()
    });
    none(offences.collect());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_pictures_are_found_and_code_is_not() {
        assert_eq!(targets("[a](b.md) and ![c](d.svg), `[e](f)`"), ["b.md", "d.svg"]);
        assert_eq!(targets("<img src=\"a.svg\" alt=\"\">\n```\n[b](c)\n```\n[d](e)"), ["a.svg", "e"]);
    }

    #[test]
    fn only_files_of_ours_are_looked_for() {
        assert_eq!(file("docs/a.md#part"), Some("docs/a.md"));
        assert_eq!(file("#part"), None);
        assert_eq!(file("https://example.org/a"), None);
    }
}
