//! `version`: of the plug-in, of the API server, and whether the CRD fits.

use clap::Args;
use refreshable_token_operator::operator::check;
use serde_json::json;

use crate::Session;
use crate::failure::{Failure, Verdict};
use crate::output::{Format, Table, document, print};

// Arguments of `version`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  kubectl rtok version
  kubectl rtok version --client     without a cluster
  kubectl rtok version -o json")]
pub struct Version {
    /// Only that of the plug-in: no cluster is asked.
    #[arg(long)]
    client: bool,
    /// Form of the output.
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t)]
    output: Format,
}

impl Version {
    /// Prints them.
    pub async fn run(self, session: &Session) -> Result<Verdict, Failure> {
        if self.output == Format::Name {
            return Err(Failure::usage("version has no names to print: leave out -o name"));
        }
        let own = env!("CARGO_PKG_VERSION");
        let mut table = Table::new(&["", ""]);
        let mut value = json!({ "clientVersion": own });
        table.row(vec!["kubectl-rtok".into(), own.into()]);
        let asked = if self.client { Ok(None) } else { server(session).await.map(Some) };
        if let Ok(Some((server, kind))) = &asked {
            table.row(vec!["API server".into(), server.as_str().into()]);
            table.row(vec!["CRD".into(), kind.what.as_str().into()]);
            value = json!({ "clientVersion": own, "serverVersion": server, "crd": { "fits": kind.good, "what": kind.what } });
        }
        match self.output {
            Format::Json | Format::Yaml => print(&document(self.output, &value)?)?,
            Format::Table | Format::Wide | Format::Name => print(&table.text(session.paint, "", true))?,
        }
        Ok(Verdict::of(asked?.is_none_or(|(_, kind)| kind.good)))
    }
}

async fn server(session: &Session) -> Result<(String, check::Finding), Failure> {
    let reach = session.reach().await?;
    let (version, _) = reach.version().await?;
    Ok((version, check::kind(&reach.operator_view()).await))
}
