"""Files upscaled by many machines: cut into parts, each a task of Ray's, and joined."""
