"""What must outlive the process and has no channel to live on."""
