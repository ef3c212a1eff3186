//! Metrics and probes at a real API server: what is shown, to whom, and what becomes of it when the API server is gone.

mod gate;
mod objects;
mod outage;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::sight::wait;
use crate::world::Scene;

/// A GET of a path; gives status code, content type and body.
pub async fn get(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> (u16, String, String) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = headers.iter().fold(client.get(format!("http://{address}{path}")), |r, (name, value)| r.header(*name, *value));
    let answer = request.send().await.unwrap();
    let content_type = answer.headers()["content-type"].to_str().unwrap().to_owned();
    (answer.status().as_u16(), content_type, answer.text().await.unwrap())
}

/// The values of a scrape by name and labels, as they stand in the text.
pub struct Scrape(pub BTreeMap<String, f64>);

impl Scrape {
    /// Scrapes in the Prometheus text format.
    pub async fn of(address: SocketAddr) -> Self {
        let (status, content_type, text) = get(address, "/metrics", &[]).await;
        assert_eq!((status, content_type.as_str()), (200, "text/plain; version=0.0.4; charset=utf-8"));
        Self::parse(&text)
    }

    /// Reads the Prometheus text format.
    pub fn parse(text: &str) -> Self {
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let split = |line: &str| line.rsplit_once(' ').map(|(key, value)| (key.to_owned(), value.parse().unwrap())).unwrap();
        Self(samples.map(split).collect())
    }

    /// A series of an object with these further labels.
    pub fn get(&self, scene: Scene<'_>, metric: &str, name: &str, more: &str) -> Option<f64> {
        let key = format!("refreshabletoken_{metric}{{namespace=\"{}\",name=\"{name}\"{more}}}", scene.namespace);
        self.0.get(&key).copied()
    }

    /// Everything that names an object.
    pub fn about(&self, scene: Scene<'_>, name: &str) -> Vec<&String> {
        let object = format!("namespace=\"{}\",name=\"{name}\"", scene.namespace);
        self.0.keys().filter(|key| key.contains(&object)).collect()
    }
}

/// Waits until a scrape shows something.
pub async fn shown<T>(scene: Scene<'_>, what: &str, read: impl Fn(&Scrape) -> Option<T>) -> T {
    let address = scene.world.metrics();
    wait(what, || async { read(&Scrape::of(address).await) }).await
}
