//! `validate`: manifests, without a cluster: the schemas of the CRDs, then the rules, as the operator has them in code.

use std::path::PathBuf;

use clap::Args;
use kube::ResourceExt as _;

use crate::Session;
use crate::failure::{Failure, Tally, Verdict};
use crate::manifest::{Document, Providers, document, objects, read};
use crate::output::{Colour, Paint, print, printable, tell};

// Arguments of `validate`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  kubectl rtok validate -f artifactory-ci.yaml
  helm template chart | kubectl rtok validate -f -

RefreshableTokens, TokenProviders and ClusterTokenProviders are checked, each token with its provider where that is in one of the files;
other kinds are passed over. Exit status 1 if one is not valid, 2 if a file cannot be read or has none of them. That a field may not
change once it is set, and what a host resolves to, only a cluster can tell.")]
pub struct Validate {
    /// File of manifests; `-` for standard input. May be repeated.
    #[arg(short, long = "filename", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

impl Validate {
    /// Checks them.
    pub fn run(self, session: &Session) -> Result<Verdict, Failure> {
        let mut tally = Tally::default();
        let mut files = Vec::new();
        for file in &self.files {
            let objects = read(file).and_then(|text| {
                let objects = objects(&text, session.connection.namespace.as_deref());
                objects.map_err(|error| Failure::usage(format!("{}: {}", file.display(), error.message)))
            });
            files.extend(tally.take(objects)?.map(|objects| (file, objects)));
        }
        let providers = Providers::of(files.iter().flat_map(|(_, objects)| objects));
        for (file, objects) in files {
            let place = printable(&file.display().to_string());
            let mut ours = 0;
            for object in objects {
                let checked = document(object, &providers);
                ours += usize::from(!matches!(checked, Document::Other(_)));
                tally.holds(!matches!(checked, Document::Invalid(..)));
                tell_of(&place, checked, session.paint)?;
            }
            if ours == 0 {
                tally.failed(&Failure::usage(format!("{place}: {NONE}")));
            }
        }
        Ok(tally.verdict())
    }
}

/// Of a file that cannot have been meant.
pub const NONE: &str = "there is no RefreshableToken, TokenProvider or ClusterTokenProvider in it";

fn tell_of(place: &str, checked: Document, paint: Paint) -> Result<(), Failure> {
    let valid = |what: &str| print(&format!("{place}: {what} is {}\n", paint.text(Colour::Green, "valid")));
    match checked {
        Document::Valid(object) => valid(&format!("RefreshableToken {}", object.name_any())),
        Document::Provider(what) => valid(&what),
        Document::Invalid(what, mistakes) => {
            mistakes.iter().try_for_each(|mistake| print(&format!("{place}: {what}: {}\n", paint.text(Colour::Red, mistake))))
        }
        Document::Other(what) => {
            tell(&format!("{place}: {what} is passed over"));
            Ok(())
        }
    }
}
