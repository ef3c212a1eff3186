//! The verbs: what is read, what is changed, what is printed.

pub mod completion;
pub mod consumers;
pub mod doctor;
pub mod events;
pub mod explain;
pub mod init;
pub mod inspect;
pub mod refresh;
pub mod render;
pub mod reseed;
pub mod status;
pub mod suspend;
pub mod validate;
pub mod version;
pub mod wait;
