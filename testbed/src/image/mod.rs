//! Container images without a container engine: one layer, written byte for byte, so that equal content is an equal digest.
//!
//! The form is that of the OCI image format specification 1.1 ("Image Layout"), which `ctr images import`, `skopeo` and `docker load` read.
//! The layer is not compressed: the digest then depends on no compressor, and the sizes here are the sizes on a node's disk.

mod layer;
mod program;

use std::path::Path;

use anyhow::Context as _;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

pub use layer::Layer;
pub use program::{PROFILE, static_program};

/// Media types of the OCI image specification 1.1.
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// How a container of an image is started.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// `Entrypoint`: the program and its first arguments.
    pub entrypoint: Vec<String>,
    /// `User`, such as `65532:65532`; empty is root.
    pub user: String,
    /// `Env`, such as `PATH=/bin`.
    pub environment: Vec<String>,
    /// `Labels`, by name.
    pub labels: Vec<(String, String)>,
}

/// An image of one layer for the architecture of this machine.
#[derive(Clone, Debug)]
pub struct Image {
    reference: String,
    layer: Vec<u8>,
    config: Vec<u8>,
    manifest: Vec<u8>,
}

impl Image {
    /// An image called `reference` (registry, repository and tag).
    ///
    /// Its creation time is the start of 1970, as for everything in the layer: the content alone makes the digest
    /// (reproducible-builds.org, `SOURCE_DATE_EPOCH`, where 0 is as good as any).
    pub fn new(reference: &str, layer: Layer, start: &Start) -> anyhow::Result<Self> {
        let layer = layer.finish()?;
        let config = json!({
            "created": "1970-01-01T00:00:00Z",
            "architecture": architecture(),
            "os": "linux",
            "config": {
                "Entrypoint": start.entrypoint,
                "User": start.user,
                "Env": start.environment,
                "WorkingDir": "/",
                "Labels": start.labels.iter().map(|(name, value)| (name.clone(), json!(value))).collect::<serde_json::Map<_, _>>(),
            },
            "rootfs": {"type": "layers", "diff_ids": [sha256(&layer)]},
        });
        let config = serde_json::to_vec(&config)?;
        let manifest = serde_json::to_vec(&json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor(CONFIG, &config),
            "layers": [descriptor(LAYER, &layer)],
        }))?;
        Ok(Self { reference: reference.to_owned(), layer, config, manifest })
    }

    /// Registry, repository and tag.
    #[must_use]
    pub fn reference(&self) -> &str {
        &self.reference
    }

    /// Digest of the manifest, by which a registry knows the image: `sha256:` and 64 hexadecimal digits.
    #[must_use]
    pub fn digest(&self) -> String {
        sha256(&self.manifest)
    }

    /// Bytes of manifest, configuration and layer together, nothing compressed.
    #[must_use]
    pub fn size(&self) -> usize {
        self.manifest.len() + self.config.len() + self.layer.len()
    }

    /// The manifest and its media type, as a registry serves it.
    #[must_use]
    pub fn manifest(&self) -> (&'static str, &[u8]) {
        (MANIFEST, &self.manifest)
    }

    /// The blob of this digest, if the image has it.
    #[must_use]
    pub fn blob(&self, digest: &str) -> Option<&[u8]> {
        [&self.manifest, &self.config, &self.layer].into_iter().find(|blob| sha256(blob) == digest).map(Vec::as_slice)
    }

    /// The configuration, as `docker inspect` shows it.
    pub fn config(&self) -> anyhow::Result<Value> {
        serde_json::from_slice(&self.config).context("read the configuration of the image")
    }

    /// Writes the image to `path` as an archive of an OCI layout, its name in the annotation that containerd reads.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let mut entry = descriptor(MANIFEST, &self.manifest);
        let annotations =
            json!({"io.containerd.image.name": self.reference, "org.opencontainers.image.ref.name": self.reference});
        if let Some(entry) = entry.as_object_mut() {
            entry.insert("platform".into(), json!({"architecture": architecture(), "os": "linux"}));
            entry.insert("annotations".into(), annotations);
        }
        let index = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [entry]});
        let mut layout = Layer::default();
        layout.folder("blobs", 0o755);
        layout.folder("blobs/sha256", 0o755);
        for blob in [&self.config, &self.layer, &self.manifest] {
            let name = sha256(blob).replace(':', "/");
            layout.file(&format!("blobs/{name}"), 0o644, blob.clone());
        }
        layout.file("index.json", 0o644, serde_json::to_vec(&index)?);
        layout.file("oci-layout", 0o644, b"{\"imageLayoutVersion\":\"1.0.0\"}".to_vec());
        std::fs::write(path, layout.finish()?).with_context(|| format!("write {}", path.display()))
    }
}

fn descriptor(media_type: &str, blob: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": sha256(blob), "size": blob.len()})
}

fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = "sha256:".to_owned();
    for byte in digest(&SHA256, bytes).as_ref() {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// In Go's words, which the specification asks for.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(text: &str) -> Image {
        named("example.org/x:1", text)
    }

    fn named(reference: &str, text: &str) -> Image {
        let mut layer = Layer::default();
        layer.file("b", 0o644, text.into());
        layer.folder("a", 0o755);
        Image::new(reference, layer, &Start { user: "65532:65532".into(), ..Start::default() }).unwrap()
    }

    #[test]
    fn the_digest_is_a_matter_of_the_content_alone() {
        assert_eq!(image("one").digest(), named("example.org/y:2", "one").digest());
        assert_ne!(image("one").digest(), image("two").digest());
    }

    #[test]
    fn an_archive_holds_each_blob_under_its_digest() {
        let folder = tempfile::tempdir().unwrap();
        let (image, path) = (image("one"), folder.path().join("image.tar"));
        image.write(&path).unwrap();
        let mut archive = tar::Archive::new(std::fs::File::open(&path).unwrap());
        let names: Vec<String> =
            archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect();
        let manifest = image.digest().replace(':', "/");
        assert!(names.contains(&format!("blobs/{manifest}")), "{names:?}");
        assert!(names.contains(&"index.json".to_owned()) && names.contains(&"oci-layout".to_owned()), "{names:?}");
        assert_eq!(image.blob(&image.digest()).unwrap(), image.manifest().1);
    }
}
