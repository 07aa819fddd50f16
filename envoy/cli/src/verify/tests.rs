//! Kinds of broken requests.
