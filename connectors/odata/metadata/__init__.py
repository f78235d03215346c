"""What a service offers: metadata documents of V2 and V4, read into one model. Pure."""
