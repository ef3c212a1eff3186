//! `version`: of the plug-in, of the API server, and whether the CRD fits.

use clap::Args;
use refreshable_token_operator::operator::check;

use crate::Session;
use crate::failure::{Failure, Verdict};
use crate::output::print;

// Arguments of `version`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  kubectl rtok version
  kubectl rtok version --client     without a cluster")]
pub struct Version {
    /// Only that of the plug-in: no cluster is asked.
    #[arg(long)]
    client: bool,
}

impl Version {
    /// Prints them.
    pub async fn run(self, session: &Session) -> Result<Verdict, Failure> {
        print(&format!("kubectl-rtok   {}\n", env!("CARGO_PKG_VERSION")));
        if self.client {
            return Ok(Verdict::Good);
        }
        let reach = session.reach().await?;
        let (server, _) = reach.version().await?;
        let kind = check::kind(&reach.operator_view()).await;
        print(&format!("API server     {server}\nCRD            {}\n", kind.what));
        Ok(Verdict::of(kind.good))
    }
}
