//! The core, which waits for nothing: nanoseconds of a decision, of a conclusion and of a rendered output.

use std::hint::black_box;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use refreshable_token_operator::api::{DockerConfigJson, OutputFile, OutputSpec};
use refreshable_token_operator::refresh::conclude::conclude_wait;
use refreshable_token_operator::refresh::decide::{Memory, Plan, SeedView, decide};
use refreshable_token_operator::refresh::output::{ObjectName, render};
use refreshable_token_operator::token::{AccessToken, FingerprintKey, HeldTokens};
use tokio::time::Instant;

use crate::Setting;
use crate::chain::issuer::Kind;
use crate::chain::operator::facts;
use crate::chain::scenario::{Start, begin, output};
use crate::table::{Row, Table, Unit};

/// How often something is done between two looks at the clock.
const BATCH: u32 = 1000;
/// Length of the access token that is rendered: that of a JWT with a handful of claims and an RSA signature. Our choice.
const TOKEN: usize = 800;

/// Looks at an object that has nothing to do and at one that is due; outputs of two forms.
pub fn measure(setting: &Setting, table: &mut Table) -> anyhow::Result<()> {
    let (mut world, _) = begin(Kind::Strict, Start::Steady);
    let version = world.seed.as_ref().map(|(version, _)| version.to_string()).unwrap_or_default();
    let (memory, seed, due) = (Memory::default(), SeedView::Seen(version), world.now);
    world.now -= TimeDelta::minutes(10);
    let (early, status) = (world.now, world.status.clone());
    let facts = facts(&world, &status, &memory, &seed);
    anyhow::ensure!(matches!(decide(&facts, early), Plan::Wait { .. }), "the object is not idle");
    anyhow::ensure!(matches!(decide(&facts, due), Plan::Exchange { .. }), "the object is not due");
    let mut row = |what: &str, action: &mut dyn FnMut()| {
        let values = (0..setting.runs).map(|_| nanoseconds(setting, action)).collect();
        table.row(&Row::new(format!("core: {what}"), Unit::Nanoseconds, values));
    };
    row("decision, nothing due", &mut || drop(black_box(decide(black_box(&facts), early))));
    row("decision, refresh due", &mut || drop(black_box(decide(black_box(&facts), due))));
    row("conclusion of a look at which nothing was done", &mut || drop(black_box(conclude_wait(black_box(&facts), early))));
    let (key, tokens) = (FingerprintKey::new(b"key"), tokens(due));
    let object = ObjectName { name: "token", namespace: "build" };
    for (what, output) in [("opaque, two keys", output("out")), ("docker config and a template of two lines", docker())] {
        let outputs = [output];
        render(&outputs, object, &tokens, &key, due)?;
        row(&format!("rendered output: {what}"), &mut || {
            let rendered = render(black_box(&outputs), object, black_box(&tokens), &key, due);
            drop(black_box(rendered));
        });
    }
    Ok(())
}

fn tokens(now: DateTime<Utc>) -> HeldTokens {
    let expiration_time = Some(now + TimeDelta::hours(1));
    HeldTokens {
        access_token: Some(AccessToken::new("t".repeat(TOKEN))),
        issued_time: Some(now),
        expiration_time,
        ..HeldTokens::default()
    }
}

fn docker() -> OutputSpec {
    let docker = DockerConfigJson { registries: vec!["docker.example.com".into()], username: "ci".into() };
    let template = "TOKEN={{ token.access }}\nUNTIL={{ token.expirationTime }}\n".to_owned();
    let file = OutputFile { key: "app.env".into(), template: Some(template), ..OutputFile::default() };
    OutputSpec { secret_name: "out".into(), docker_config_json: Some(docker), files: vec![file], ..OutputSpec::default() }
}

/// How long one call takes, over many of them.
fn nanoseconds(setting: &Setting, action: &mut dyn FnMut()) -> f64 {
    let time = setting.pick(Duration::from_millis(500), Duration::from_millis(20));
    let (begun, mut calls) = (Instant::now(), 0_u32);
    while begun.elapsed() < time {
        (0..BATCH).for_each(|_| action());
        calls = calls.saturating_add(BATCH);
    }
    begun.elapsed().as_secs_f64() * 1e9 / f64::from(calls.max(1))
}
