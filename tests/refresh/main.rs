//! The pure core under attack: the decision, the exchange and the conclusion, driven against a cluster and an issuer made of
//! plain values. Nothing here waits, listens or sleeps.

#[cfg(test)]
mod anew;
#[cfg(test)]
mod asking;
#[cfg(test)]
mod conclusion;
#[cfg(test)]
mod decision;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod issuer;
#[cfg(test)]
mod kept;
#[cfg(test)]
mod operator;
#[cfg(test)]
mod outputs;
#[cfg(test)]
mod plan;
#[cfg(test)]
mod relics;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod rollout;
#[cfg(test)]
mod scenario;
#[cfg(test)]
mod windows;
#[cfg(test)]
mod world;
