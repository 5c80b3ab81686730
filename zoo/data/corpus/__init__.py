"""Running text: every character counts, contexts cross lines, and the text may be larger than memory."""
