"""Who may do what: identities, tokens, policy, and the log of what was denied."""
