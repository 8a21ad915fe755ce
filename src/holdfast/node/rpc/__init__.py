"""RPC in a node: who calls, and what each command needs the policy to allow."""
