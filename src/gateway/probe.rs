//! Whether a token that does not exist yet would be served: asked before another one ends for it.

use std::sync::Arc;

use http::{HeaderMap, Method};

use super::refusal::Refusal;
use super::served::{Asked, Extent};
use super::{Gateway, fetch, respond};
use crate::conda::RequestTarget;
use crate::face::Verdict;
use crate::policy::{self, Caller, Standing};

impl Gateway {
    /// Answers as HEAD on the index of `channel`'s `noarch` would be for a token of this standing: nothing for 200, else what would be told.
    ///
    /// It is decided and fetched as a request would be, with the same limits. Nobody asked, so nothing is accounted for.
    ///
    /// # Errors
    ///
    /// What would be told, in the words for the token's holder.
    pub async fn probe(&self, standing: Standing, channel: &str) -> Result<(), Verdict> {
        let routing = self.routing.load_full();
        let path = format!("/{channel}/noarch/repodata.json");
        let target =
            RequestTarget::parse(&path).map_err(|error| respond::verdict(&Refusal::Path(error), channel))?;
        let answer = async {
            let caller = Caller::Known(Arc::new(standing));
            let asked = routing.routes.channels().locate(&target);
            let permit = policy::decide(&caller, &asked, self.clock.now()).map_err(Refusal::Denied)?;
            let (method, headers) = (Method::HEAD, HeaderMap::new());
            let asked = Asked { permit: &permit, method: &method, headers: &headers };
            let served = fetch::fetch(asked, &routing, self.clock.now(), &self.books.metrics).await?;
            if matches!(served.extent, Extent::Whole) { Ok(()) } else { Err(Refusal::Missing) }
        };
        answer.await.map_err(|refusal| respond::verdict(&refusal, channel))
    }
}
