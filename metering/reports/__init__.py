"""From the ledger to what a month comes to: statements, tenants, what-ifs."""
