//! One object's life: drift, suspend, force, seeds, refusals, lost answers, endpoints, outputs, restarts.

mod drift;
mod force;
mod reseed;
mod seed;
mod suspend;
