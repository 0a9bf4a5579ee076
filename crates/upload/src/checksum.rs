//! Digests of files: what a sender announces, what is computed, and the side files that name one.

pub(crate) mod digest;
pub(crate) mod hasher;
pub(crate) mod side_file_text;
pub(crate) mod side_files;
