//! One object's life: drift, suspend, force, seeds, refusals, lost answers, endpoints, proxies, outputs, restarts.

mod anew;
mod asking;
mod bootstrap;
mod deletion;
mod drift;
mod endpoint;
mod force;
mod outputs;
mod proxy;
mod recover;
mod refused;
mod reseed;
mod restart;
mod rollout;
mod seed;
mod suspend;
mod unknown;
mod verdict;
