"""The subcommands, each in a file that reads options, asks the service and prints."""
