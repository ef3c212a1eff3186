//! The language of `files[].template`: a small part of Jinja, read before anything is spent.
//!
//! Texts, values, `if`: no loop, no variable of its own, no function, no include. Our choice over a whole template engine, because
//! what a template costs has to be bounded by its size: engines count steps, and a loop-free template that joins a value to
//! itself 40 times takes 40 steps and a terabyte. Every template of this language is one of Jinja too, and means the same there;
//! a line break at its end is kept.

use std::fmt::Write as _;
use std::iter::Peekable;
use std::str::CharIndices;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use thiserror::Error;

/// How much a rendering may write, all steps counted: as much as a Secret holds (Kubernetes `MaxSecretSize`).
const MOST_WRITTEN: usize = 1024 * 1024;
/// How deep parentheses and `if` may be nested. Our choice: far more than people read.
const DEEPEST: usize = 16;
/// What stays as it is in a URL component: RFC 3986 section 2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A template that was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Template(Vec<Node>);

/// Why a text is no template: where and what. Quotes the template, which the author of the spec wrote, and nothing else.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("line {line} of the template: {what}")]
pub struct NoTemplate {
    /// Line, the first is 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

/// Why a template that was read gives no text. Names what is missing, never a value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Error)]
pub enum NotRendered {
    /// A value is not there.
    #[error("there is no {0} to write")]
    Absent(&'static str),
    /// More than [`MOST_WRITTEN`].
    #[error("the template writes more than the 1 MiB that a Secret may hold")]
    TooLarge,
}

/// What a template can name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Name {
    /// `token.access`
    Access,
    /// `token.refresh`
    Refresh,
    /// `token.reference`
    Reference,
    /// `token.expirationTime`
    ExpirationTime,
    /// `token.issuedTime`
    IssuedTime,
    /// `object.name`
    ObjectName,
    /// `object.namespace`
    ObjectNamespace,
}

impl Name {
    const ALL: [Self; 7] = [
        Self::Access,
        Self::Refresh,
        Self::Reference,
        Self::ExpirationTime,
        Self::IssuedTime,
        Self::ObjectName,
        Self::ObjectNamespace,
    ];

    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Access => "token.access",
            Self::Refresh => "token.refresh",
            Self::Reference => "token.reference",
            Self::ExpirationTime => "token.expirationTime",
            Self::IssuedTime => "token.issuedTime",
            Self::ObjectName => "object.name",
            Self::ObjectNamespace => "object.namespace",
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Node {
    Text(String),
    Value(Expression),
    If { name: Name, negated: bool },
    Else,
    EndIf,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Expression {
    Literal(String),
    Value(Name),
    Filtered(Box<Expression>, Filter),
    Joined(Vec<Expression>),
}

/// Filters: what a value needs to stand in a header, a URL, JSON or YAML, and XML.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Filter {
    /// Base64 of RFC 4648 section 4, with padding.
    Base64,
    /// Percent-encoding of all but the unreserved characters; unlike Jinja's also of `/`, so that it fits everywhere in a URL.
    Url,
    /// A JSON string in double quotes, which is a YAML string too.
    Json,
    /// `&`, `<`, `>` and both quotes as XML references.
    Xml,
}

impl Filter {
    fn of(name: &str) -> Option<Self> {
        match name {
            "b64encode" => Some(Self::Base64),
            "urlencode" => Some(Self::Url),
            "tojson" => Some(Self::Json),
            "escape" => Some(Self::Xml),
            _ => None,
        }
    }

    fn apply(self, text: &str) -> String {
        match self {
            Self::Base64 => STANDARD.encode(text),
            Self::Url => url_component(text),
            Self::Json => serde_json::Value::from(text).to_string(),
            Self::Xml => xml_text(text),
        }
    }
}

/// A text as it stands in a part of a URL, user information included: all but the unreserved characters percent-encoded
/// (RFC 3986 sections 2.1 and 2.3), in UTF-8.
#[must_use]
pub fn url_component(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// A text as it stands in XML between tags or in an attribute (XML 1.0 sections 2.4 and 4.6).
#[must_use]
pub fn xml_text(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut xml, c| {
        match c {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '"' => xml.push_str("&quot;"),
            '\'' => xml.push_str("&#39;"),
            other => xml.push(other),
        }
        xml
    })
}

impl Template {
    /// Reads a template.
    pub fn parse(text: &str) -> Result<Self, NoTemplate> {
        Reader { text, at: 0, nodes: Vec::new(), open: Vec::new(), trim: false }.read()
    }

    /// Whether it names this.
    #[must_use]
    pub fn names(&self, name: Name) -> bool {
        fn within(expression: &Expression, name: Name) -> bool {
            match expression {
                Expression::Literal(_) => false,
                Expression::Value(own) => *own == name,
                Expression::Filtered(inner, _) => within(inner, name),
                Expression::Joined(parts) => parts.iter().any(|part| within(part, name)),
            }
        }
        self.0.iter().any(|node| match node {
            Node::Value(expression) => within(expression, name),
            Node::If { name: own, .. } => *own == name,
            Node::Text(_) | Node::Else | Node::EndIf => false,
        })
    }

    /// The text with the values in place of their names; `value` gives none for what is not there. An `if` takes what is not there
    /// and what is empty for false.
    pub fn render(&self, value: impl Fn(Name) -> Option<String>) -> Result<String, NotRendered> {
        let mut rendering = Rendering { value, left: MOST_WRITTEN };
        let mut text = String::new();
        // Whether each `if` that is open holds, outermost first.
        let mut holds: Vec<bool> = Vec::new();
        for node in &self.0 {
            let shown = holds.iter().all(|holds| *holds);
            match node {
                Node::Text(part) if shown => text.push_str(&rendering.spend(part.clone())?),
                Node::Value(expression) if shown => text.push_str(&rendering.evaluate(expression)?),
                Node::Text(_) | Node::Value(_) => {}
                Node::If { name, negated } => {
                    holds.push((rendering.value)(*name).is_some_and(|value| !value.is_empty()) != *negated);
                }
                Node::Else => {
                    let last = holds.pop();
                    holds.extend(last.map(|holds| !holds));
                }
                Node::EndIf => {
                    holds.pop();
                }
            }
        }
        Ok(text)
    }
}

struct Rendering<V> {
    value: V,
    /// Bytes that may still be written, those of steps in between included.
    left: usize,
}

impl<V: Fn(Name) -> Option<String>> Rendering<V> {
    fn spend(&mut self, text: String) -> Result<String, NotRendered> {
        self.left = self.left.checked_sub(text.len()).ok_or(NotRendered::TooLarge)?;
        Ok(text)
    }

    fn evaluate(&mut self, expression: &Expression) -> Result<String, NotRendered> {
        let text = match expression {
            Expression::Literal(text) => text.clone(),
            Expression::Value(name) => (self.value)(*name).ok_or(NotRendered::Absent(name.as_str()))?,
            Expression::Filtered(inner, filter) => filter.apply(&self.evaluate(inner)?),
            Expression::Joined(parts) => {
                let mut whole = String::new();
                for part in parts {
                    whole.push_str(&self.evaluate(part)?);
                }
                whole
            }
        };
        self.spend(text)
    }
}

/// Reads a template from its beginning to its end.
struct Reader<'a> {
    text: &'a str,
    at: usize,
    nodes: Vec<Node>,
    /// Whether each `if` that is open has had its `else`, outermost first.
    open: Vec<bool>,
    /// The last mark asked to drop the white space that follows.
    trim: bool,
}

impl<'a> Reader<'a> {
    fn wrong<T>(&self, at: usize, what: impl Into<String>) -> Result<T, NoTemplate> {
        let before = self.text.get(..at).unwrap_or(self.text);
        Err(NoTemplate { line: before.matches('\n').count() + 1, what: what.into() })
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn read(mut self) -> Result<Template, NoTemplate> {
        while let Some((length, mark)) = next_mark(self.rest()) {
            let begin = self.at + length;
            let inside = self.text.get(begin + 2..).unwrap_or_default();
            self.take_text(length, inside.starts_with('-'));
            self.at = begin + 2 + usize::from(inside.starts_with('-'));
            match mark {
                '#' => self.comment(begin)?,
                '{' => {
                    let tokens = self.tokens(begin, '}')?;
                    let expression = Grammar::new(&tokens).whole();
                    let expression = expression.or_else(|what| self.wrong(begin, what))?;
                    self.nodes.push(Node::Value(expression));
                }
                _ => {
                    self.known_statement(begin)?;
                    let tokens = self.tokens(begin, '%')?;
                    self.statement(begin, &tokens)?;
                }
            }
        }
        self.take_text(self.rest().len(), false);
        if self.open.is_empty() { Ok(Template(self.nodes)) } else { self.wrong(self.text.len(), "an if without its endif") }
    }

    /// The text before a mark, without the white space that the marks around it drop.
    fn take_text(&mut self, length: usize, trim_end: bool) {
        let mut text = self.rest().get(..length).unwrap_or_default();
        text = if self.trim { text.trim_start() } else { text };
        text = if trim_end { text.trim_end() } else { text };
        if !text.is_empty() {
            self.nodes.push(Node::Text(text.to_owned()));
        }
        self.at += length;
        self.trim = false;
    }

    fn comment(&mut self, begin: usize) -> Result<(), NoTemplate> {
        let Some(end) = self.rest().find("#}") else { return self.wrong(begin, "a comment without its end #}") };
        self.trim = self.rest().get(..end).is_some_and(|comment| comment.ends_with('-'));
        self.at += end + 2;
        Ok(())
    }

    /// The tokens up to the end of a mark, which ends with `close` and a brace.
    fn tokens(&mut self, begin: usize, close: char) -> Result<Vec<Token<'a>>, NoTemplate> {
        let rest = self.rest();
        let mut tokens = Vec::new();
        let mut chars = rest.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            let ahead = rest.get(at..).unwrap_or_default();
            let dash = usize::from(c == '-');
            if ahead.get(dash..).is_some_and(|end| end.starts_with(close) && end.get(1..2) == Some("}")) {
                self.trim = c == '-';
                self.at += at + dash + 2;
                return Ok(tokens);
            }
            match c {
                c if c.is_whitespace() => {}
                '|' | '~' | '(' | ')' => tokens.push(Token::Sign(c)),
                '\'' | '"' => {
                    let literal = quoted(rest, at, c, &mut chars);
                    tokens.push(literal.or_else(|what| self.wrong(begin, what))?);
                }
                c if c.is_ascii_alphabetic() => tokens.push(word(rest, at, &mut chars)),
                _ => return self.wrong(self.at + at, format!("unexpected {}", shown(&c.to_string()))),
            }
        }
        self.wrong(begin, format!("a mark without its end {close}}}"))
    }

    /// Tells a word of Jinja's that this language leaves out, before what follows on it is looked at.
    fn known_statement(&self, begin: usize) -> Result<(), NoTemplate> {
        let word = self.rest().trim_start().split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        if matches!(word, "" | "if" | "else" | "endif") {
            return Ok(());
        }
        self.wrong(begin, format!("there is no {}: only if, else and endif", shown(word)))
    }

    fn statement(&mut self, begin: usize, tokens: &[Token<'_>]) -> Result<(), NoTemplate> {
        use Token::Word;
        let node = match *tokens {
            [Word("if"), Word(name)] => condition(name, false),
            [Word("if"), Word("not"), Word(name)] => condition(name, true),
            [Word("if"), ..] => Err("an if takes one name, or not and one name".to_owned()),
            [Word("else")] => match self.open.last_mut() {
                Some(had @ false) => {
                    *had = true;
                    Ok(Node::Else)
                }
                _ => Err("an else without its if".to_owned()),
            },
            [Word("endif")] => self.open.pop().map(|_| Node::EndIf).ok_or_else(|| "an endif without its if".to_owned()),
            _ => Err("only if, else and endif stand there".to_owned()),
        };
        let node = node.or_else(|what| self.wrong(begin, what))?;
        if matches!(node, Node::If { .. }) {
            self.open.push(false);
        }
        if self.open.len() > DEEPEST {
            return self.wrong(begin, "too many ifs in each other");
        }
        self.nodes.push(node);
        Ok(())
    }
}

/// Where the next mark begins and its second character.
fn next_mark(text: &str) -> Option<(usize, char)> {
    text.match_indices('{').find_map(|(at, _)| {
        let second = text.get(at + 1..)?.chars().next().filter(|c| matches!(c, '{' | '%' | '#'))?;
        Some((at, second))
    })
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Token<'a> {
    Word(&'a str),
    Literal(&'a str),
    Sign(char),
}

type Chars<'a> = Peekable<CharIndices<'a>>;

fn word<'a>(text: &'a str, begin: usize, chars: &mut Chars<'a>) -> Token<'a> {
    while chars.next_if(|(_, c)| c.is_ascii_alphanumeric() || matches!(c, '_' | '.')).is_some() {}
    let end = chars.peek().map_or(text.len(), |(at, _)| *at);
    Token::Word(text.get(begin..end).unwrap_or_default())
}

/// A text in quotes. Jinja reads a backslash as the beginning of an escape.
fn quoted<'a>(text: &'a str, begin: usize, quote: char, chars: &mut Chars<'a>) -> Result<Token<'a>, String> {
    for (at, c) in chars.by_ref() {
        if c == quote {
            return Ok(Token::Literal(text.get(begin + 1..at).unwrap_or_default()));
        }
        if c == '\\' {
            return Err("a backslash between quotes: write such text outside of the marks".to_owned());
        }
    }
    Err("a quote without its end".to_owned())
}

/// What was written, short enough for a message and without control characters.
fn shown(text: &str) -> String {
    let mut shown: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(40).collect();
    if text.chars().count() > 40 {
        shown.push('…');
    }
    shown
}

fn known(name: &str) -> Result<Name, String> {
    Name::ALL.into_iter().find(|known| known.as_str() == name).ok_or_else(|| {
        let mut message = format!("there is no {}: there are", shown(name));
        for known in Name::ALL {
            // Writing to a String cannot fail.
            let _ = write!(message, " {}", known.as_str());
        }
        message
    })
}

fn condition(name: &str, negated: bool) -> Result<Node, String> {
    Ok(Node::If { name: known(name)?, negated })
}

/// The grammar of a value: `joined = piped {"~" piped}`, `piped = atom {"|" filter}`, `atom = literal | name | "(" joined ")"`.
struct Grammar<'a> {
    tokens: &'a [Token<'a>],
    depth: usize,
}

impl<'a> Grammar<'a> {
    fn new(tokens: &'a [Token<'a>]) -> Self {
        Self { tokens, depth: 0 }
    }

    fn next(&mut self) -> Option<Token<'a>> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(*first)
    }

    fn sign(&mut self, sign: char) -> bool {
        let found = self.tokens.first() == Some(&Token::Sign(sign));
        if found {
            self.next();
        }
        found
    }

    fn whole(mut self) -> Result<Expression, String> {
        let expression = self.joined()?;
        if self.tokens.is_empty() {
            Ok(expression)
        } else {
            Err("a value is followed by something else than |, ~ or )".to_owned())
        }
    }

    fn joined(&mut self) -> Result<Expression, String> {
        let first = self.piped()?;
        if self.tokens.first() != Some(&Token::Sign('~')) {
            return Ok(first);
        }
        let mut parts = vec![first];
        while self.sign('~') {
            parts.push(self.piped()?);
        }
        Ok(Expression::Joined(parts))
    }

    fn piped(&mut self) -> Result<Expression, String> {
        let mut expression = self.atom()?;
        let mut filters = 0;
        while self.sign('|') {
            let Some(Token::Word(name)) = self.next() else { return Err("| is followed by the name of a filter".to_owned()) };
            let filter = Filter::of(name)
                .ok_or_else(|| format!("there is no filter {}: there are b64encode urlencode tojson escape", shown(name)))?;
            filters += 1;
            if filters > DEEPEST {
                return Err("too many filters on one value".to_owned());
            }
            expression = Expression::Filtered(Box::new(expression), filter);
        }
        Ok(expression)
    }

    fn atom(&mut self) -> Result<Expression, String> {
        match self.next() {
            Some(Token::Literal(text)) => Ok(Expression::Literal(text.to_owned())),
            Some(Token::Word(name)) => Ok(Expression::Value(known(name)?)),
            Some(Token::Sign('(')) if self.depth < DEEPEST => {
                self.depth += 1;
                let inner = self.joined()?;
                self.depth -= 1;
                if self.sign(')') { Ok(inner) } else { Err("a ( without its )".to_owned()) }
            }
            Some(Token::Sign('(')) => Err("too many parentheses in each other".to_owned()),
            Some(Token::Sign(sign)) => Err(format!("a value stands before {sign}")),
            None => Err("a mark without a value".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests;
