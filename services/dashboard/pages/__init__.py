"""The dashboard's pages: rendered here, kept up to date by server-sent events, usable without scripts."""
