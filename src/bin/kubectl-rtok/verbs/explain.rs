//! `explain`: why the operator does what it does about a token, and what it would do at another time or in an outage.

use chrono::{DateTime, Utc};
use clap::Args;
use kube::core::error_boundary::InvalidObject;
use refreshable_token_operator::api::{RefreshableToken, SpecDuration};
use refreshable_token_operator::operator::clock::{Clock as _, SystemClock};
use refreshable_token_operator::operator::seen::SeenSecret;
use serde_json::{Value, json};

use crate::Session;
use crate::cluster::{BROKEN, Listed, Reach, broken_place, object_name};
use crate::failure::{Failure, Verdict};
use crate::outage::{Outage, fate};
use crate::output::{Cell, Colour, Format, Paint, Table, document, print, printable};
use crate::situation::{Known, Situation, semantics};
use crate::targets::{place, ready};
use crate::time::absolute;

// Arguments of `explain`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  kubectl rtok explain artifactory-ci                              each decision with its inputs
  kubectl rtok explain -A                                          the same for all of the cluster
  kubectl rtok explain artifactory-ci --at 2026-11-28T18:00:00Z    what the operator would do then
  kubectl rtok explain -A --outage 2h                              which tokens would not survive two hours of outage from now

Exit status 1 if a stored object does not fit the schema; with --outage also if a token would not survive.")]
pub struct Explain {
    /// Name of a RefreshableToken; none: all of the namespace.
    #[arg(value_name = "NAME", value_parser = object_name, conflicts_with = "all_namespaces")]
    name: Option<String>,
    /// The decision at this time, all else being as it is now; with --outage: when it begins.
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<DateTime<Utc>>,
    /// What an outage of this length, of the token APIs or of the operator, would do.
    #[arg(long, value_name = "DURATION", value_parser = SpecDuration::parse)]
    outage: Option<SpecDuration>,
    /// Form of the output.
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t)]
    output: Format,
}

fn time(text: &str) -> Result<DateTime<Utc>, &'static str> {
    let time =
        DateTime::parse_from_rfc3339(text).map_err(|_| "a time is written as in RFC 3339, such as 2026-11-28T18:00:00Z")?;
    Ok(time.to_utc())
}

impl Explain {
    /// Shows it.
    pub async fn run(self, session: &Session) -> Result<Verdict, Failure> {
        if self.output == Format::Name {
            return Err(Failure::usage("explain has no names to print: leave out -o name"));
        }
        let reach = session.reach().await?;
        let now = SystemClock.now();
        let listed = match &self.name {
            Some(name) => Listed { objects: vec![reach.object(name).await?], broken: Vec::new() },
            None => reach.objects(None).await?,
        };
        let whole = listed.broken.is_empty();
        if let Some(length) = self.outage {
            let outage = Outage { from: self.at.unwrap_or(now), length: length.get() };
            let (text, all) =
                outages(&fates(&reach, &listed, outage).await, outage, self.output, reach.everywhere, session.paint)?;
            print(&text)?;
            return Ok(Verdict::of(all));
        }
        listed.tell_broken();
        let mut situations = Vec::new();
        for object in listed.objects {
            situations.push(look(&reach, object).await);
        }
        let time = self.at.unwrap_or(now);
        if self.output.is_data() {
            let mut values: Vec<Value> = situations.iter().map(|situation| data(situation, now, time)).collect();
            let value = match (&self.name, values.pop()) {
                (Some(_), Some(only)) => only,
                (_, last) => json!({ "objects": values.into_iter().chain(last).collect::<Vec<_>>() }),
            };
            print(&document(self.output, &value)?)?;
        } else {
            let sections: Vec<String> = situations.iter().map(|situation| section(situation, now, time, session.paint)).collect();
            print(&sections.join("\n"))?;
        }
        Ok(Verdict::of(whole))
    }
}

/// The object with what the metadata of its Secrets shows; no Secret's contents are read.
pub async fn look(reach: &Reach, object: RefreshableToken) -> Situation {
    let namespace = object.metadata.namespace.clone().unwrap_or_default();
    let seed = match reach.secret_metadata(&namespace, &object.spec.credential.seed_secret_ref.name).await {
        Ok(Some(metadata)) => Known::There(metadata.resource_version.unwrap_or_default()),
        Ok(None) => Known::Missing,
        Err(_) => Known::Unread,
    };
    let provider = reach.provider(&object).await;
    let mut outputs: Vec<Option<SeenSecret>> = Vec::new();
    for output in &object.spec.outputs {
        match reach.secret_metadata(&namespace, &output.secret_name).await {
            Ok(metadata) => outputs.push(metadata.as_ref().map(SeenSecret::of)),
            Err(_) => return Situation { object, provider, seed, outputs: Known::Unread },
        }
    }
    Situation { object, provider, seed, outputs: Known::There(outputs) }
}

fn data(situation: &Situation, now: DateTime<Utc>, time: DateTime<Utc>) -> Value {
    json!({ "object": place(&situation.object), "now": absolute(now), "decisions": situation.explain(now, time) })
}

fn section(situation: &Situation, now: DateTime<Utc>, time: DateTime<Utc>, paint: Paint) -> String {
    let mut table = Table::new(&["DECISION", "VALUE", "BECAUSE"]);
    for line in situation.explain(now, time) {
        table.row(vec![line.decision.into(), line.value.into(), line.because.into()]);
    }
    let ready = ready(&situation.object)
        .map_or_else(|| "not seen by the operator".to_owned(), |c| format!("{}: {}", c.reason, c.message));
    let head = printable(&format!("{}   {ready}", place(&situation.object)));
    format!("{head}\n{}", table.text(paint, "", false))
}

/// What becomes of one token.
struct Told {
    place: String,
    name: String,
    survives: bool,
    because: String,
}

/// What becomes of each token, with what its token API promises, whoever names it. One that does not decode survives nothing: the
/// operator does not refresh it.
async fn fates(reach: &Reach, listed: &Listed, outage: Outage) -> Vec<Told> {
    let mut told = Vec::new();
    for object in &listed.objects {
        let provider = reach.provider(object).await.ok();
        let fate = fate(object, provider.map(|provider| semantics(&provider, object)), outage);
        let (place, name) = (place(object), object.metadata.name.clone().unwrap_or_default());
        told.push(Told { place, name, survives: fate.survives(), because: fate.in_words() });
    }
    told.extend(listed.broken.iter().map(broken));
    told
}

fn broken(object: &InvalidObject) -> Told {
    let name = object.metadata.name.clone().unwrap_or_default();
    Told { place: broken_place(object), name, survives: false, because: BROKEN.to_owned() }
}

/// A line for each token, and whether all survive.
fn outages(told: &[Told], outage: Outage, format: Format, everywhere: bool, paint: Paint) -> Result<(String, bool), Failure> {
    let all = told.iter().all(|one| one.survives);
    if format.is_data() {
        let item = |one: &Told| json!({ "object": one.place, "survives": one.survives, "because": one.because });
        let items: Vec<Value> = told.iter().map(item).collect();
        let from = absolute(outage.from);
        let length = SpecDuration::from_secs(outage.length.as_secs()).to_string();
        return Ok((document(format, &json!({ "from": from, "length": length, "tokens": items }))?, all));
    }
    let mut table = Table::new(&["TOKEN", "SURVIVES", "BECAUSE"]);
    for one in told {
        let name = if everywhere { &one.place } else { &one.name };
        let (word, colour) = if one.survives { ("yes", Colour::Green) } else { ("no", Colour::Red) };
        table.row(vec![name.as_str().into(), Cell::coloured(word, colour), one.because.as_str().into()]);
    }
    Ok((table.text(paint, "", false), all))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::situation::tests::{alone, at, object};

    #[test]
    fn an_object_that_does_not_decode_survives_nothing() {
        let metadata = serde_json::from_value(json!({ "namespace": "build", "name": "old" })).unwrap();
        let told = [broken(&InvalidObject { error: String::new(), metadata })];
        let outage = Outage { from: at(0), length: Duration::from_secs(60) };
        let (text, all) = outages(&told, outage, Format::Table, true, Paint(false)).unwrap();
        assert!(!all && text.contains("build/old   no         the stored object does not fit"), "{text}");
    }

    #[test]
    fn what_the_operator_repeats_of_others_cannot_move_the_cursor() {
        let ready = "  conditions: [{type: Ready, status: 'False', reason: Expired, message: \"a\\e[2Jb\", lastTransitionTime: '1970-01-01T00:00:00Z'}]";
        let mut object = object("", "");
        let status: serde_json::Value = serde_saphyr::from_str(ready).unwrap();
        object.status.as_mut().unwrap().conditions = serde_json::from_value(status["conditions"].clone()).unwrap();
        let text = section(&alone(object), at(0), at(0), Paint(false));
        assert!(text.starts_with("build/ci   Expired: a [2Jb\n"), "{text:?}");
    }
}
