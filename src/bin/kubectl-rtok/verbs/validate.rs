//! `validate`: manifests, without a cluster: the schema of the CRD, then the rules, as the operator has them in code.

use std::path::PathBuf;

use clap::Args;
use kube::ResourceExt as _;

use crate::Session;
use crate::failure::{Failure, Verdict};
use crate::manifest::{Document, documents, read};
use crate::output::{Colour, print, tell};

// Arguments of `validate`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  kubectl rtok validate -f artifactory-ci.yaml
  helm template chart | kubectl rtok validate -f -

Exit status 1 if a RefreshableToken is not valid. Other kinds are passed over. That a field may not change once it is set, and what a
host resolves to, only a cluster can tell.")]
pub struct Validate {
    /// File of manifests; `-` for standard input. May be repeated.
    #[arg(short, long = "filename", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

impl Validate {
    /// Checks them.
    pub fn run(self, session: &Session) -> Result<Verdict, Failure> {
        let mut good = true;
        for file in &self.files {
            let place = file.display();
            let mut tokens = 0;
            for document in documents(&read(file)?).map_err(|error| Failure::usage(format!("{place}: {}", error.message)))? {
                match document {
                    Document::Valid(object) => {
                        print(&format!(
                            "{place}: RefreshableToken {} is {}\n",
                            object.name_any(),
                            session.paint.text(Colour::Green, "valid")
                        ));
                    }
                    Document::Invalid(name, mistakes) => {
                        good = false;
                        for mistake in mistakes {
                            print(&format!("{place}: RefreshableToken {name}: {}\n", session.paint.text(Colour::Red, &mistake)));
                        }
                    }
                    Document::Other(what) => {
                        tell(&format!("{place}: {what} is passed over"));
                        continue;
                    }
                }
                tokens += 1;
            }
            if tokens == 0 {
                return Err(Failure::usage(format!("{place}: there is no RefreshableToken in it")));
            }
        }
        Ok(Verdict::of(good))
    }
}
