//! What the API server says about itself and about this client's permissions.

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::{Api, Resource as _};
use serde_json::Value;

use super::{Cluster, Trouble, bounded, writer};
use crate::api::RefreshableToken;

impl Cluster {
    /// The API server's version, such as `v1.36.3`.
    pub async fn version(&self) -> Result<String, Trouble> {
        Ok(bounded(self.client.apiserver_version()).await?.git_version)
    }

    /// The OpenAPI document of our group as the API server publishes it: what is left of the CRD that is installed. Reading the CRD
    /// itself would need a permission that nothing else needs.
    pub async fn published_schema(&self) -> Result<Value, Trouble> {
        let version = RefreshableToken::api_version(&());
        let request = hyper::Request::get(format!("/openapi/v3/apis/{version}")).body(Vec::new());
        bounded(self.client.request(request.map_err(|_| Trouble::Unclear)?)).await
    }

    /// Whether this client may do that.
    pub async fn may(&self, attributes: ResourceAttributes) -> Result<bool, Trouble> {
        let api: Api<SelfSubjectAccessReview> = Api::all(self.client.clone());
        let spec =
            SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..SelfSubjectAccessReviewSpec::default() };
        let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
        let answer = bounded(api.create(&writer(false), &review)).await?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }
}
