"""What both ends of a connection between machines need: links, dialling, tokens on disk."""
