"""What a workflow will take, before anyone pays: jobs, hours, storage, and what N a budget buys."""
