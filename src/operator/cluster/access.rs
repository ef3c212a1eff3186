//! Who somebody is, and what they may do: the API server's own answers.

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::Api;
use kube::api::PostParams;

use super::{Cluster, Trouble, bounded};

impl Cluster {
    /// Whom a bearer token speaks for; none if the API server does not know it.
    pub async fn bearer(&self, token: &str) -> Result<Option<UserInfo>, Trouble> {
        let api: Api<TokenReview> = Api::all(self.client());
        let spec = TokenReviewSpec { token: Some(token.to_owned()), audiences: None };
        let review = TokenReview { spec, ..TokenReview::default() };
        let status = bounded(api.create(&PostParams::default(), &review)).await?.status.ok_or(Trouble::Unclear)?;
        Ok(status.user.filter(|_| status.authenticated == Some(true)))
    }

    /// Whether somebody may `get` a path that is no resource.
    pub async fn may_get(&self, user: UserInfo, path: &str) -> Result<bool, Trouble> {
        let api: Api<SubjectAccessReview> = Api::all(self.client());
        let attributes = NonResourceAttributes { path: Some(path.to_owned()), verb: Some("get".to_owned()) };
        let spec = SubjectAccessReviewSpec {
            user: user.username,
            uid: user.uid,
            groups: user.groups,
            extra: user.extra,
            non_resource_attributes: Some(attributes),
            ..SubjectAccessReviewSpec::default()
        };
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        let status = bounded(api.create(&PostParams::default(), &review)).await?.status.ok_or(Trouble::Unclear)?;
        Ok(status.allowed && status.denied != Some(true))
    }
}
