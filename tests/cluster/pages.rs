//! The commands of the pages of docs/ that need a cluster, typed as a reader types them: block after block of a page, in a namespace that
//! has what the page speaks of, against the simulated token APIs in place of those of the examples.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use testbed::issuer::{Api as Kind, Pair};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::timeout;

use crate::manifest::{LONG, keys};
use crate::plugin::{deployment, folder};
use crate::world::{PATIENCE, Scene, test};

/// What a block needs that is not here: an image and its registry, Helm and a release, another operator, a node, a person's own API, browser
/// or object, a request that the simulated APIs do not know; or it takes away what other tests use, or never ends.
const ELSEWHERE: [&str; 25] = [
    "docker ",
    "helm ",
    "cargo ",
    "git pull",
    "refreshable-token-system",
    "external-secrets.io",
    "externalsecret",
    "secretrotators",
    "kubectl run ",
    "port-forward",
    "while :;",
    "git.example.com",
    "$CODE",
    "/.well-known/",
    "distribution/api/v1/security/token",
    "delete crd",
    "delete namespace",
    "NAME -n NAMESPACE",
    "./ece-ca.pem",
    "install target/",
    "rtok-issuer",
    "--as=",
    "widgets -n",
    "clustertokenprovider jfrog",
    "_admin/",
];

/// Blocks that need no cluster: tests/readme/book.rs runs them, and here they make files for those that follow.
const PREPARES: [&str; 2] = ["kubectl rtok init ", "cat > "];

struct Page {
    /// Its path below docs/.
    name: String,
    text: String,
}

/// The pages of a folder below docs/, without those of folders in it.
fn pages(below: &str) -> Vec<Page> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(root.join(below)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    paths.sort();
    let page = |path: PathBuf| Page {
        name: path.strip_prefix(&root).unwrap().display().to_string(),
        text: std::fs::read_to_string(&path).unwrap(),
    };
    paths.into_iter().map(page).collect()
}

/// The shell blocks of a page; in a list they are indented.
fn blocks(text: &str) -> Vec<String> {
    let (mut blocks, mut open): (Vec<String>, Option<(usize, String)>) = (Vec::new(), None);
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        open = match open {
            None if line.trim() == "```sh" => Some((indent, String::new())),
            None => None,
            Some((_, block)) if line.trim() == "```" => {
                blocks.push(block);
                None
            }
            Some((indent, block)) => Some((indent, block + line.get(indent..).unwrap_or_default() + "\n")),
        };
    }
    blocks
}

/// Files that a page lets its reader save: a sentence that names one, and the block after it.
fn saved(text: &str) -> Vec<(String, String)> {
    let sentences = text.split("Save this as `").skip(1);
    let saved = sentences.map(|rest| {
        let (name, rest) = rest.split_once('`').unwrap();
        let block = rest.split_once("```yaml\n").and_then(|(_, rest)| rest.split_once("```")).unwrap();
        (name.to_owned(), block.0.to_owned())
    });
    saved.collect()
}

/// One page at work.
struct Reader<'a> {
    scene: Scene<'a>,
    folder: tempfile::TempDir,
    /// What kind of pair the page speaks of.
    kind: Kind,
    /// The page makes its object itself.
    own: bool,
    pairs: u32,
}

/// The namespace that stands for the other cluster.
fn moved(scene: Scene<'_>) -> String {
    format!("{}-new", scene.namespace)
}

impl<'a> Reader<'a> {
    fn new(scene: Scene<'a>, page: &Page) -> Self {
        let kind = match page.name.as_str() {
            name if name.contains("distribution") => Kind::JfrogDistribution,
            name if name.contains("elastic") => Kind::ElasticCloudEnterprise,
            name if name.contains("oauth2") => Kind::Oauth2,
            _ => Kind::JfrogAccess,
        };
        let made =
            page.text.lines().filter(|line| line.starts_with("kubectl rtok init ")).filter_map(|line| line.split(" > ").nth(1));
        let own = made.into_iter().any(|file| {
            page.text.contains(&format!("kubectl apply -f {file}")) || page.text.contains(&format!("-n build -f {file}"))
        });
        let folder = tempfile::tempdir().unwrap();
        let plane = &scene.world.plane;
        let mut config: Value = serde_saphyr::from_str(&std::fs::read_to_string(plane.kubeconfig_path()).unwrap()).unwrap();
        // A reader's context names the namespace. The other cluster of those who move is another namespace.
        let context = |name: Value, namespace: &str| {
            let mut context = config["contexts"][0].clone();
            context["name"] = name;
            context["context"]["namespace"] = namespace.into();
            context
        };
        let current = config["contexts"][0]["name"].clone();
        let contexts =
            [context(current, scene.namespace), context("old".into(), scene.namespace), context("new".into(), &moved(scene))];
        config["contexts"] = contexts.into();
        std::fs::write(folder.path().join("kubeconfig"), config.to_string()).unwrap();
        Self { scene, folder, kind, own, pairs: 0 }
    }

    fn pair(&mut self) -> Pair {
        self.pairs += 1;
        let subject = format!("{}-{}", self.scene.namespace, self.pairs);
        let (issuer, hour) = (&self.scene.world.issuer, chrono::TimeDelta::hours(1));
        match self.kind {
            Kind::JfrogAccess => issuer.seed_jfrog_access(&subject, hour),
            Kind::JfrogDistribution => issuer.seed_jfrog_distribution(&subject, hour),
            Kind::ElasticCloudEnterprise => issuer.seed_ece(&subject, hour),
            Kind::Oauth2 => issuer.seed_oauth2(&subject, "client", hour),
        }
    }

    /// What stands beside the object: workloads, accounts, authorities.
    async fn furnish(&mut self, page: &Page) {
        let scene = self.scene;
        // A manifest that somebody who has installed this has at hand; it names no namespace.
        let mut manifest = scene.access("artifactory-ci", LONG);
        manifest["metadata"] = json!({"name": "artifactory-ci"});
        std::fs::write(self.folder.path().join("artifactory-ci.yaml"), manifest.to_string()).unwrap();
        for (name, text) in saved(&page.text) {
            std::fs::write(self.folder.path().join(name), self.here(&text)).unwrap();
        }
        if page.text.contains("--context new") {
            scene.kubectl(&["create", "namespace", &moved(scene)], None).await.checked().unwrap();
        }
        deployment(scene, "artifactory-token", "other").await;
        for more in [
            &["create", "deployment", "legacy-app", "--image=app"][..],
            &["create", "serviceaccount", "default"],
            &["create", "serviceaccount", "builder"],
        ] {
            scene.kubectl(more, None).await.checked().unwrap();
        }
        let authority = rcgen::generate_simple_self_signed(["art.example.com".to_owned()]).unwrap().cert.pem();
        scene.put(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "corporate-ca"}, "data": {"ca.crt": authority}})).await;
        scene
            .put(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "idp-client-tls"}, "stringData": {"tls.crt": authority}}))
            .await;
        if self.own {
            // What a CronJob has written.
            let pair = self.pair();
            let written = json!({"access_token": pair.access_token, "refresh_token": pair.refresh_token});
            let metadata = json!({"name": "artifactory-token"});
            scene.put(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": written})).await;
        }
    }

    /// What an earlier block may have used up: files with a pair, the CronJob, and the objects that the page speaks of without making them.
    async fn renew(&mut self) {
        let scene = self.scene;
        let pair = self.pair();
        for (file, text) in [
            ("access_token", pair.access_token.as_str()),
            ("refresh_token", pair.refresh_token.as_deref().unwrap_or_default()),
            ("password", "a-password"),
        ] {
            std::fs::write(self.folder.path().join(file), text).unwrap();
        }
        // There may be one.
        let _ = scene.kubectl(&["create", "cronjob", "refresh-token", "--image=app", "--schedule=0 0 * * *"], None).await;
        if self.own {
            return;
        }
        for (name, outputs) in [
            ("artifactory-ci", json!([{"secretName": "artifactory-token", "opaque": {}}])),
            (
                "registry",
                json!([{"secretName": "registry-pull", "dockerConfigJSON": {"registries": ["docker.example.com"], "username": "ci"}}]),
            ),
        ] {
            let known = scene.objects().get_opt(name).await.unwrap();
            let well = known.as_ref().and_then(|object| object.status.as_ref()).is_some_and(|status| {
                status.conditions.iter().any(|c| c.reason == "TokenFresh") && status.chain_generation.unwrap_or(0) > 0
            });
            let whole = scene.secrets().get_opt(&format!("{name}-state")).await.unwrap().is_some();
            let suspended = known.as_ref().is_some_and(|object| object.spec.suspended());
            if well && whole && !suspended {
                continue;
            }
            if known.is_some() {
                scene.kubectl(&["delete", "rtok", name], None).await.checked().unwrap();
            }
            // Nobody collects garbage here.
            let (state, output) = (format!("{name}-state"), outputs[0]["secretName"].as_str().unwrap());
            scene.kubectl(&["delete", "secret", &state, output, "--ignore-not-found"], None).await.checked().unwrap();
            let pair = self.pair();
            scene.put_seed(name, &keys(&pair)).await;
            let mut object = scene.access(name, LONG);
            object["spec"]["outputs"] = outputs;
            scene.put(&object).await;
            scene.refreshed(name, 1).await;
            scene.holds(name).await;
        }
    }

    /// The block as it is typed here.
    fn here(&self, block: &str) -> String {
        let (url, namespace) = (self.scene.world.issuer.url(), self.scene.namespace);
        let mut block = block.to_owned();
        for host in ["https://art.example.com", "https://ece.example.com:12443", "https://idp.example.com"] {
            block = block.replace(host, url);
        }
        for name in ["build", "platform", "release"] {
            block = block.replace(&format!("-n {name}"), &format!("-n {namespace}"));
            block = block.replace(&format!("namespace {name}"), &format!("namespace {namespace}"));
            block = block.replace(&format!("namespace: {name}"), &format!("namespace: {namespace}"));
        }
        block = block.replace(&format!("-n {namespace} --context new"), &format!("-n {} --context new", moved(self.scene)));
        // It is there.
        block = block.replace(&format!("kubectl create namespace {namespace}\n"), "");
        // All namespaces are this one: other tests have some that are broken on purpose.
        block.replace(" -A", &format!(" -n {namespace}")).replace("sleep 60", "sleep 1")
    }

    async fn run(&mut self, block: &str) -> Result<(), String> {
        let pair = self.pair();
        let whole = json!({"access_token": pair.access_token, "refresh_token": pair.refresh_token});
        let plane = &self.scene.world.plane;
        let script = format!("set -euo pipefail\n{}", self.here(block));
        let mut command = Command::new("bash");
        command.args(["-c", &script]).current_dir(self.folder.path()).kill_on_drop(true);
        let path =
            [self.folder.path(), plane.kubectl_path().parent().unwrap(), folder()].map(|folder| folder.display().to_string());
        let environment: BTreeMap<&str, String> = BTreeMap::from([
            ("PATH", format!("{}:/usr/bin:/bin", path.join(":"))),
            ("KUBECONFIG", self.folder.path().join("kubeconfig").display().to_string()),
            ("pair", whole.to_string()),
            ("token", pair.access_token.clone()),
            ("TOKEN_ID", pair.token_id.clone()),
            ("IDENTITY_TOKEN", "admin-identity-token".to_owned()),
            ("ECE_USER", "admin".to_owned()),
            ("ECE_PASSWORD", "admin-password".to_owned()),
            ("REFRESH_TOKEN", pair.refresh_token.unwrap_or_default()),
            ("API_KEY", "an-api-key".to_owned()),
            ("JFROG_USER", "admin".to_owned()),
            ("JFROG_PASSWORD", "admin-password".to_owned()),
            ("CLIENT_ID", "client".to_owned()),
            ("CLIENT_SECRET", "secret".to_owned()),
        ]);
        command.envs(environment).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = timeout(PATIENCE, async {
            let mut child = command.spawn()?;
            // The password that a block asks for; most ask for none, and may have ended.
            let _ = child.stdin.take().unwrap().write_all(b"ci-password\n").await;
            child.wait_with_output().await
        });
        let output = output.await;
        match output {
            Ok(Ok(output)) if output.status.success() => Ok(()),
            Ok(Ok(output)) => {
                let text = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
                Err(format!("{}: {}", output.status, text.join("\n")))
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("it does not end".to_owned()),
        }
    }
}

impl Scene<'_> {
    /// Waits until an object says that its token is good.
    async fn holds(&self, name: &str) {
        self.until(name, "a good token", |object| {
            object.status.as_ref().is_some_and(|status| status.conditions.iter().any(|c| c.reason == "TokenFresh"))
        })
        .await;
    }
}

/// Runs the blocks of these pages; at least so many of them.
async fn read(scene: Scene<'static>, pages: Vec<Page>, least: usize) {
    let (mut run, mut wrong) = (0, Vec::new());
    for (number, page) in pages.iter().enumerate() {
        let namespace: &'static str = format!("{}-{number}", scene.namespace).leak();
        let calls = |block: &str| block.contains("kubectl ") || block.contains("curl ");
        let needs = |block: &&String| calls(block) && !ELSEWHERE.iter().any(|word| block.contains(word));
        let all = blocks(&page.text);
        let blocks: Vec<&String> = all.iter().filter(needs).collect();
        if blocks.iter().all(|block| PREPARES.iter().any(|word| block.starts_with(word))) {
            continue;
        }
        let mut reader = Reader::new(scene.world.scene(namespace).await, page);
        reader.furnish(page).await;
        let mut moves = false;
        for block in blocks {
            // Whoever moves a chain does it step by step.
            if !(moves && block.contains("--context ")) {
                reader.renew().await;
            }
            moves = block.contains("--context ");
            match reader.run(block).await {
                Ok(()) => run += 1,
                Err(why) => wrong.push(format!("docs/{}:\n{block}{why}", page.name)),
            }
        }
        // What stands there is in the way of nobody, but the operator goes on with it.
        let other = moved(reader.scene);
        let gone = ["delete", "namespace", namespace, &other, "--wait=false", "--ignore-not-found"];
        scene.world.plane.kubectl(&gone, None).await.unwrap();
    }
    assert!(wrong.is_empty(), "{} of {} blocks fail:\n\n{}", wrong.len(), run + wrong.len(), wrong.join("\n\n"));
    assert!(run >= least, "{run} blocks were run");
}

#[test]
fn the_commands_of_the_concepts_do_what_they_say() {
    test("pages-concepts", |scene| async move {
        let more = pages("").into_iter().filter(|page| page.name == "quickstart.md" || page.name == "workloads.md");
        read(scene, pages("concepts").into_iter().chain(more).collect(), 12).await;
    });
}

#[test]
fn the_commands_of_the_guides_do_what_they_say() {
    test("pages-guides", |scene| async move {
        read(scene, pages("guides/providers").into_iter().chain(pages("guides/consumers")).collect(), 25).await;
    });
}

#[test]
fn the_commands_of_migration_and_operation_do_what_they_say() {
    test("pages-operate", |scene| async move {
        let others = pages("operate").into_iter().filter(|page| !page.name.ends_with("troubleshooting.md"));
        read(scene, pages("migrate").into_iter().chain(others).collect(), 15).await;
    });
}

#[test]
fn the_commands_for_trouble_do_what_they_say() {
    test("pages-trouble", |scene| async move {
        let page = pages("operate").into_iter().filter(|page| page.name.ends_with("troubleshooting.md"));
        read(scene, page.collect(), 30).await;
    });
}
