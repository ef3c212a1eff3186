//! What is printed: tables, colours, YAML and JSON. Data goes to standard output, everything else to standard error.

use std::io::{ErrorKind, IsTerminal as _, Write};

use clap::ValueEnum;
use refreshable_token_operator::api::RefreshableToken;
use serde_json::{Value, json};

use crate::failure::Failure;

/// Form of what is printed, as kubectl's `-o`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for people.
    #[default]
    Table,
    /// A table with more columns.
    Wide,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// Only names, as kubectl takes them.
    Name,
}

impl Format {
    /// Whether it has no place for a word to people.
    pub fn is_data(self) -> bool {
        match self {
            Self::Json | Self::Yaml | Self::Name => true,
            Self::Table | Self::Wide => false,
        }
    }
}

/// A colour of the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// All is well.
    Green,
    /// Look at it.
    Yellow,
    /// Something is wrong.
    Red,
}

/// How text is painted: not at all without a terminal, or with NO_COLOR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paint(pub bool);

impl Paint {
    /// The text in a colour.
    pub fn text(self, colour: Colour, text: &str) -> String {
        let code = match colour {
            Colour::Green => 32,
            Colour::Yellow => 33,
            Colour::Red => 31,
        };
        if self.0 { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// A cell of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    text: String,
    colour: Option<Colour>,
}

impl Cell {
    /// A cell in a colour.
    pub fn coloured(text: impl Into<String>, colour: Colour) -> Self {
        Self { text: printable(&text.into()), colour: Some(colour) }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: printable(&text.into()), colour: None }
    }
}

/// The text without control characters: what others wrote into an object must not move the cursor.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Rows under headings, each column as wide as its widest cell.
#[derive(Clone, Debug)]
pub struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// No rows yet.
    pub fn new(headings: &[&'static str]) -> Self {
        Self { headings: headings.to_vec(), rows: Vec::new() }
    }

    /// One row more.
    pub fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as text, each line after `indent`; without headings if `bare`.
    pub fn text(&self, paint: Paint, indent: &str, bare: bool) -> String {
        let heading: Vec<Cell> = self.headings.iter().map(|heading| (*heading).into()).collect();
        let head = (!bare).then_some(&heading);
        let lines: Vec<&Vec<Cell>> = head.into_iter().chain(&self.rows).collect();
        let width = |column: usize| {
            let cells = lines.iter().filter_map(|line| line.get(column));
            cells.map(|cell| cell.text.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.headings.len()).map(width).collect();
        let mut text = String::new();
        for line in &lines {
            text.push_str(indent);
            for (at, (cell, width)) in line.iter().zip(&widths).enumerate() {
                let shown = cell.colour.map_or_else(|| cell.text.clone(), |colour| paint.text(colour, &cell.text));
                text.push_str(&shown);
                if at + 1 < line.len() {
                    text.push_str(&" ".repeat(width - cell.text.chars().count() + 3));
                }
            }
            text.truncate(text.trim_end_matches(' ').len());
            text.push('\n');
        }
        text
    }
}

/// Whether somebody still reads what is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// Or may still do.
    There,
    /// No more, as after `| head`.
    Gone,
}

/// Prints data. Whoever reads may have gone: that is no error of ours, and what a verb does beside printing goes on.
pub fn print(text: &str) -> Result<(), Failure> {
    print_for(text).map(|_| ())
}

/// Prints data, and tells whether that is of any use.
pub fn print_for(text: &str) -> Result<Reader, Failure> {
    write(&mut std::io::stdout().lock(), text)
}

fn write(out: &mut impl Write, text: &str) -> Result<Reader, Failure> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(Reader::There),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(Failure::refused(format!("standard output cannot be written: {error}"))),
    }
}

/// Prints one line of data, whatever somebody wrote into it.
pub fn line(text: &str) -> Result<(), Failure> {
    print(&format!("{}\n", printable(text)))
}

/// Tells people one line beside the data.
pub fn tell(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", printable(text));
}

/// Whether a person looks at standard output.
pub fn on_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// A value as YAML or JSON.
pub fn document(format: Format, value: &Value) -> Result<String, Failure> {
    let text = match format {
        Format::Yaml => serde_saphyr::to_string(value).map_err(|error| error.to_string()),
        _ => serde_json::to_string_pretty(value).map(|text| text + "\n").map_err(|error| error.to_string()),
    };
    text.map_err(|error| Failure::refused(format!("the answer cannot be written: {error}")))
}

/// Objects as kubectl shows them: one by itself, more as a List. Without managedFields, which nobody asks for here.
pub fn objects(format: Format, objects: &[RefreshableToken], single: bool) -> Result<String, Failure> {
    let bare = |object: &RefreshableToken| {
        let mut object = object.clone();
        object.metadata.managed_fields = None;
        serde_json::to_value(&object).map_err(|error| Failure::refused(format!("an object cannot be written: {error}")))
    };
    let mut items = objects.iter().map(bare).collect::<Result<Vec<_>, _>>()?;
    let value = match items.pop() {
        Some(only) if single && items.is_empty() => only,
        last => {
            items.extend(last);
            json!({ "apiVersion": "v1", "kind": "List", "items": items })
        }
    };
    document(format, &value)
}

/// The names of objects, as kubectl takes them.
pub fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    lines(names.map(|name| format!("refreshabletoken.refreshabletoken.io/{name}")))
}

/// One line for each.
pub fn lines(words: impl Iterator<Item = String>) -> String {
    words.map(|word| word + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_their_headings_whatever_is_painted() {
        let mut table = Table::new(&["NAME", "READY", "AGE"]);
        table.row(vec!["a".into(), Cell::coloured("True", Colour::Green), "1m".into()]);
        table.row(vec!["a-longer-name".into(), Cell::coloured("False", Colour::Red), "".into()]);
        let plain = table.text(Paint(false), "", false);
        assert_eq!(plain, "NAME            READY   AGE\na               True    1m\na-longer-name   False\n");
        let painted = table.text(Paint(true), "", false);
        assert!(painted.contains("\u{1b}[32mTrue\u{1b}[0m    1m"), "{painted:?}");
        assert_eq!(table.text(Paint(false), "  ", true).lines().count(), 2);
    }

    #[test]
    fn what_others_wrote_cannot_move_the_cursor() {
        let mut table = Table::new(&["MESSAGE"]);
        table.row(vec!["a\u{1b}[2Jb\nc".into()]);
        assert_eq!(table.text(Paint(false), "", true), "a [2Jb c\n");
    }

    #[test]
    fn what_cannot_be_printed_is_an_error_unless_nobody_reads_it() {
        struct Broken(ErrorKind);
        impl Write for Broken {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(self.0.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        assert_eq!(write(&mut Vec::new(), "a"), Ok(Reader::There));
        assert_eq!(write(&mut Broken(ErrorKind::BrokenPipe), "a"), Ok(Reader::Gone));
        let full = write(&mut Broken(ErrorKind::StorageFull), "a").unwrap_err();
        assert!(full.message.starts_with("standard output cannot be written: "), "{full:?}");
    }

    #[test]
    fn one_object_stands_alone_and_more_in_a_list() {
        let object = |name: &str| -> RefreshableToken {
            let text = format!(
                "apiVersion: refreshabletoken.io/v1alpha1\nkind: RefreshableToken\nmetadata: {{name: {name}, managedFields: [{{manager: x}}]}}\nspec:\n  provider: {{oauth2: {{tokenURL: 'https://a.example.com/t'}}}}\n  credential: {{seedSecretRef: {{name: s}}}}\n  outputs: [{{secretName: o, opaque: {{}}}}]\n"
            );
            serde_saphyr::from_str(&text).unwrap()
        };
        let parse = |text: String| -> Value { serde_saphyr::from_str(&text).unwrap() };
        let one = parse(objects(Format::Yaml, &[object("a")], true).unwrap());
        assert_eq!((&one["kind"], &one["metadata"]["managedFields"]), (&json!("RefreshableToken"), &Value::Null));
        let list = parse(objects(Format::Json, &[object("a"), object("b")], false).unwrap());
        let names: Vec<_> = list["items"].as_array().unwrap().iter().map(|item| &item["metadata"]["name"]).collect();
        assert_eq!((&list["kind"], names), (&json!("List"), vec![&json!("a"), &json!("b")]));
        let none = parse(objects(Format::Json, &[], false).unwrap());
        assert_eq!(none["items"], json!([]));
    }
}
