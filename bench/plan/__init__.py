"""What a suite amounts to: cells with ids, budgets and costs. Nothing here runs anything."""
