//! Programs that show netchan at work; see `src/bin/`.
