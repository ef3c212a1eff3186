//! Parts that readers of replies share.
