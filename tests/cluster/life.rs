//! One object's life: drift, suspend, force, seeds, refusals, lost answers, endpoints, outputs, restarts.

mod anew;
mod bootstrap;
mod deletion;
mod drift;
mod endpoint;
mod force;
mod outputs;
mod recover;
mod refused;
mod reseed;
mod restart;
mod rollout;
mod seed;
mod suspend;
mod unknown;
mod verdict;
