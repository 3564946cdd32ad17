"""The commands of `crm-sync`, one a file, each a click command under its own name."""
