"""OData services, V4 and V2: SAP S/4HANA, Business One, Dynamics 365, SAP CAP and others."""
