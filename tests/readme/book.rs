//! Keeps the pages of docs/ true: objects decode and are valid, links lead somewhere, the book has every page, no merge was left half
//! done, each reason has its heading, and the commands that need no cluster run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use refreshable_token_operator::api::Reason;

use crate::plugin::without_cluster;
use crate::{README, blocks_of, check_object};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")
}

/// Every page, by its path below docs/.
fn pages() -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.insert(path.strip_prefix(root()).unwrap().to_owned(), text);
            }
        }
    }
    found
}

/// The text without its code blocks.
fn prose(text: &str) -> String {
    text.split("\n```").step_by(2).collect::<Vec<_>>().join("\n")
}

/// The anchor that a heading has.
fn anchor(heading: &str) -> String {
    let plain = heading.trim().replace(['`', '*'], "").to_lowercase();
    plain
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | ' '))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

fn anchors(text: &str) -> BTreeSet<String> {
    let prose = prose(text);
    prose.lines().filter(|line| line.starts_with('#')).map(|line| anchor(line.trim_start_matches('#'))).collect()
}

#[test]
fn each_object_of_the_pages_decodes_and_is_valid() {
    let mut seen = 0;
    for (page, text) in pages() {
        for object in blocks_of(&text, "yaml").iter().flat_map(|block| block.split("\n---\n")) {
            if !object.contains("kind: RefreshableToken\n") {
                serde_saphyr::from_str::<serde_json::Value>(object)
                    .unwrap_or_else(|error| panic!("{}: {error}\n{object}", page.display()));
                continue;
            }
            check_object(object, &page.display().to_string());
            seen += 1;
        }
    }
    assert!(seen >= 10, "{seen} objects");
}

#[test]
fn each_link_of_the_pages_leads_somewhere() {
    let pages = pages();
    let mut dead = Vec::new();
    for (page, text) in &pages {
        for target in prose(text).split("](").skip(1).map(|rest| rest.split(')').next().unwrap().to_owned()) {
            if target.starts_with("https://") {
                continue;
            }
            let (path, wanted) = target.split_once('#').unwrap_or((&target, ""));
            let file = if path.is_empty() { root().join(page) } else { root().join(page).parent().unwrap().join(path) };
            // What is not below docs/ is no part of the book.
            let Some(file) = file.canonicalize().ok().filter(|file| file.starts_with(root().canonicalize().unwrap())) else {
                dead.push(format!("{}: {target}", page.display()));
                continue;
            };
            let found = wanted.is_empty() || anchors(&std::fs::read_to_string(&file).unwrap()).contains(wanted);
            if !found {
                dead.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(dead.is_empty(), "{}", dead.join("\n"));
}

/// How many cells a row of a table has. A bar in code parts cells too, unless a backslash stands before it (GFM, "Tables").
fn cells(row: &str) -> usize {
    row.replace("\\|", "").matches('|').count().saturating_sub(1)
}

#[test]
fn each_page_has_one_title_and_tables_and_code_that_a_reader_of_markdown_takes_for_such() {
    let mut wrong = Vec::new();
    for (page, text) in pages().iter().filter(|(page, _)| *page != Path::new("SUMMARY.md")) {
        let mut tell = |what: &str, line: &str| wrong.push(format!("{}: {what}: {line}", page.display()));
        if text.lines().filter(|line| line.starts_with("```")).count() % 2 == 1 {
            tell("a code block has no end", "");
        }
        let prose = prose(text);
        if prose.lines().filter(|line| line.starts_with("# ")).count() != 1 {
            tell("not one title", "");
        }
        let mut wanted = None;
        for line in prose.lines() {
            let row = line.starts_with('|').then(|| cells(line));
            if row.is_some() && wanted.is_some() && (row != wanted || !line.ends_with('|')) {
                tell("a row with other cells than its table", line);
            }
            wanted = row.and(wanted.or(row));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_page_has_the_marks_of_a_merge() {
    let marks = |line: &&str| line.starts_with("<<<<<<<") || *line == "=======" || line.starts_with(">>>>>>>");
    let readme = (PathBuf::from("../README.md"), README.to_owned());
    let mut wrong = Vec::new();
    for (page, text) in pages().into_iter().chain([readme]) {
        wrong.extend(text.lines().filter(marks).map(|line| format!("{}: {line}", page.display())));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_summary_has_each_page_once() {
    let pages = pages();
    let summary = &pages[Path::new("SUMMARY.md")];
    let mut listed: Vec<&str> = summary.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()).collect();
    listed.sort_unstable();
    let mut all: Vec<&str> = pages.keys().map(|page| page.to_str().unwrap()).filter(|page| *page != "SUMMARY.md").collect();
    all.sort_unstable();
    assert_eq!(listed, all);
}

#[test]
fn each_reason_has_its_heading_on_the_page_for_trouble() {
    let pages = pages();
    let page = &pages[Path::new("operate/troubleshooting.md")];
    let headings: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let reasons: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    let told: Vec<&str> = headings.into_iter().filter(|heading| Reason::parse(heading).is_some()).collect();
    assert_eq!(told, reasons, "in the order of src/api/condition.rs");
}

/// Whether each command of a block is one of the plug-in's that need no cluster, or writes a file for it.
fn needs_no_cluster(block: &str) -> bool {
    let (mut inside, mut any) = (false, false);
    for line in block.lines() {
        if inside {
            inside = line != "EOF";
        } else if line.starts_with("cat > ") && line.ends_with("<<'EOF'") {
            inside = true;
        } else if ["init", "validate", "render"].iter().any(|verb| line.starts_with(&format!("kubectl rtok {verb} "))) {
            any = true;
        } else if !line.is_empty() && !line.starts_with('#') {
            return false;
        }
    }
    any
}

#[test]
fn the_commands_of_the_pages_that_need_no_cluster_run() {
    let mut run = 0;
    for (page, text) in pages() {
        let folder = tempfile::tempdir().unwrap();
        for block in blocks_of(&text, "sh").into_iter().filter(|block| needs_no_cluster(block)) {
            let output = without_cluster(block, folder.path());
            let told = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{}: {block}\n{told}", page.display());
            run += 1;
        }
    }
    assert!(run >= 10, "{run} blocks");
}
