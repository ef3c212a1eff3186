//! `explain`: why the operator does what it does about a token, and what it would do at another time or in an outage.

use chrono::{DateTime, Utc};
use clap::Args;
use refreshable_token_operator::api::{RefreshableToken, SpecDuration};
use refreshable_token_operator::operator::clock::{Clock as _, SystemClock};
use refreshable_token_operator::operator::seen::SeenSecret;
use serde_json::json;

use crate::Session;
use crate::cluster::{Reach, object_name};
use crate::failure::{Failure, Verdict};
use crate::outage::{Outage, fate};
use crate::output::{Cell, Colour, Format, Paint, Table, document, print};
use crate::situation::{Known, Situation};
use crate::targets::{place, ready};
use crate::time::absolute;

// Arguments of `explain`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  kubectl rtok explain artifactory-ci                              each decision with its inputs
  kubectl rtok explain artifactory-ci --at 2026-11-28T18:00:00Z    what the operator would do then
  kubectl rtok explain -A --outage 2h                              which tokens would not survive two hours of outage from now

With --outage the exit status is 1 if a token would not survive.")]
pub struct Explain {
    /// Name of a RefreshableToken; with --outage none: all of the namespace.
    #[arg(value_name = "NAME", value_parser = object_name, required_unless_present = "outage")]
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
        let objects = match &self.name {
            Some(name) => vec![reach.object(name).await?],
            None => reach.objects(None).await?.objects,
        };
        if let Some(length) = self.outage {
            let outage = Outage { from: self.at.unwrap_or(now), length: length.get() };
            let (text, all) = outages(&objects, outage, self.output, reach.everywhere, session.paint)?;
            print(&text);
            return Ok(Verdict::of(all));
        }
        for object in objects {
            let situation = look(&reach, object).await;
            print(&decisions(&situation, now, self.at.unwrap_or(now), self.output, session.paint)?);
        }
        Ok(Verdict::Good)
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

fn decisions(
    situation: &Situation,
    now: DateTime<Utc>,
    time: DateTime<Utc>,
    format: Format,
    paint: Paint,
) -> Result<String, Failure> {
    let lines = situation.explain(now, time);
    let name = place(&situation.object);
    if matches!(format, Format::Json | Format::Yaml) {
        return document(format, &json!({ "object": name, "now": absolute(now), "decisions": lines }));
    }
    let mut table = Table::new(&["DECISION", "VALUE", "BECAUSE"]);
    for line in lines {
        table.row(vec![line.decision.into(), line.value.into(), line.because.into()]);
    }
    let ready = ready(&situation.object)
        .map_or_else(|| "not seen by the operator".to_owned(), |c| format!("{}: {}", c.reason, c.message));
    Ok(format!("{name}   {ready}\n{}", table.text(paint, "", false)))
}

/// A line for each token, and whether all survive.
fn outages(
    objects: &[RefreshableToken],
    outage: Outage,
    format: Format,
    everywhere: bool,
    paint: Paint,
) -> Result<(String, bool), Failure> {
    let fates: Vec<_> = objects.iter().map(|object| (object, fate(object, outage))).collect();
    let all = fates.iter().all(|(_, fate)| fate.survives());
    if matches!(format, Format::Json | Format::Yaml) {
        let items: Vec<_> = fates
            .iter()
            .map(|(object, fate)| json!({ "object": place(object), "survives": fate.survives(), "because": fate.in_words() }))
            .collect();
        let from = absolute(outage.from);
        let length = SpecDuration::from_secs(outage.length.as_secs()).to_string();
        return Ok((document(format, &json!({ "from": from, "length": length, "tokens": items }))?, all));
    }
    let mut table = Table::new(&["TOKEN", "SURVIVES", "BECAUSE"]);
    for (object, fate) in &fates {
        let name = if everywhere { place(object) } else { object.metadata.name.clone().unwrap_or_default() };
        let (word, colour) = if fate.survives() { ("yes", Colour::Green) } else { ("no", Colour::Red) };
        table.row(vec![name.into(), Cell::coloured(word, colour), fate.in_words().into()]);
    }
    Ok((table.text(paint, "", false), all))
}
