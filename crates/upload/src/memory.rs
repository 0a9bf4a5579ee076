//! Memory for uploads: one byte budget, its fair shares, and the part sizes that fit into it.

pub(crate) mod budget;
pub(crate) mod part_plan;
pub(crate) mod shares;
