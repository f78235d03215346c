"""Metadata documents of tests: a trading company's, in V2 and V4, with what services get wrong."""

from __future__ import annotations

V2 = b"""<?xml version="1.0" encoding="utf-8"?>
<edmx:Edmx Version="1.0" xmlns:edmx="http://schemas.microsoft.com/ado/2007/06/edmx">
 <edmx:DataServices m:DataServiceVersion="2.0"
   xmlns:m="http://schemas.microsoft.com/ado/2007/08/dataservices/metadata">
  <Schema Namespace="TradeModel" xmlns="http://schemas.microsoft.com/ado/2008/09/edm"
    xmlns:sap="http://www.sap.com/Protocols/SAPData">
   <EntityType Name="Customer">
    <Key><PropertyRef Name="CustomerID"/></Key>
    <Property Name="CustomerID" Type="Edm.String" Nullable="false" MaxLength="5"/>
    <Property Name="CompanyName" Type="Edm.String" Nullable="false" MaxLength="40"/>
    <Property Name="Region" Type="Edm.String" MaxLength="15" sap:filterable="false"/>
    <NavigationProperty Name="Orders" Relationship="TradeModel.FK_Orders_Customers"
      FromRole="Customers" ToRole="Orders"/>
   </EntityType>
   <EntityType Name="Order">
    <Key><PropertyRef Name="OrderID"/></Key>
    <Property Name="OrderID" Type="Edm.Int32" Nullable="false"/>
    <Property Name="CustomerID" Type="Edm.String" MaxLength="5"/>
    <Property Name="OrderDate" Type="Edm.DateTime" sap:display-format="Date"/>
    <Property Name="ShippedDate" Type="Edm.DateTime"/>
    <Property Name="Freight" Type="Edm.Decimal" Precision="19" Scale="4"/>
    <Property Name="Rate" Type="Edm.Decimal"/>
    <Property Name="ShipTo" Type="TradeModel.Address"/>
    <Property Name="LastChangeDateTime" Type="Edm.DateTimeOffset" ConcurrencyMode="Fixed"/>
    <NavigationProperty Name="Customer" Relationship="TradeModel.FK_Orders_Customers"
      FromRole="Orders" ToRole="Customers"/>
    <NavigationProperty Name="Order_Details" Relationship="TradeModel.FK_Details_Orders"
      FromRole="Orders" ToRole="Order_Details"/>
    <NavigationProperty Name="Shipper" Relationship="TradeModel.Untold" FromRole="Orders"
      ToRole="Shipper"/>
   </EntityType>
   <EntityType Name="Order_Detail">
    <Key><PropertyRef Name="OrderID"/><PropertyRef Name="ProductID"/></Key>
    <Property Name="OrderID" Type="Edm.Int32" Nullable="false"/>
    <Property Name="ProductID" Type="Edm.Int32" Nullable="false"/>
    <Property Name="Quantity" Type="Edm.Int16" Nullable="false"/>
    <Property Name="Discount" Type="Edm.Single" Nullable="false"/>
    <Property Name="Total" Type="Edm.Int64"/>
    <NavigationProperty Name="Order" Relationship="TradeModel.FK_Details_Orders"
      FromRole="Order_Details" ToRole="Orders"/>
   </EntityType>
   <EntityType Name="Employee" m:HasStream="true">
    <Key><PropertyRef Name="EmployeeID"/></Key>
    <Property Name="EmployeeID" Type="Edm.Int32" Nullable="false"/>
    <Property Name="Photo" Type="Edm.Binary"/>
    <Property Name="WorksAt" Type="Edm.Time"/>
    <Property Name="Desk" Type="Edm.GeographyPoint"/>
   </EntityType>
   <EntityType Name="Alphabetical_list">
    <Property Name="ProductName" Type="Edm.String"/>
   </EntityType>
   <EntityType Name="Shipper">
    <Key><PropertyRef Name="ShipperID"/></Key>
    <Property Name="ShipperID" Type="Edm.Int32" Nullable="false"/>
   </EntityType>
   <ComplexType Name="Address">
    <Property Name="Street" Type="Edm.String" MaxLength="60"/>
    <Property Name="City" Type="Edm.String" Nullable="false"/>
   </ComplexType>
   <Association Name="FK_Orders_Customers">
    <End Role="Customers" Type="TradeModel.Customer" Multiplicity="0..1"/>
    <End Role="Orders" Type="TradeModel.Order" Multiplicity="*"/>
    <ReferentialConstraint>
     <Principal Role="Customers"><PropertyRef Name="CustomerID"/></Principal>
     <Dependent Role="Orders"><PropertyRef Name="CustomerID"/></Dependent>
    </ReferentialConstraint>
   </Association>
   <Association Name="FK_Details_Orders">
    <End Role="Orders" Type="TradeModel.Order" Multiplicity="1"/>
    <End Role="Order_Details" Type="TradeModel.Order_Detail" Multiplicity="*"/>
    <ReferentialConstraint>
     <Principal Role="Orders"><PropertyRef Name="OrderID"/></Principal>
     <Dependent Role="Order_Details"><PropertyRef Name="OrderID"/></Dependent>
    </ReferentialConstraint>
   </Association>
   <Association Name="Untold">
    <End Role="Orders" Type="TradeModel.Order" Multiplicity="*"/>
    <End Role="Shipper" Type="TradeModel.Shipper" Multiplicity="0..1"/>
   </Association>
   <EntityContainer Name="TradeEntities" m:IsDefaultEntityContainer="true">
    <EntitySet Name="Customers" EntityType="TradeModel.Customer" sap:deletable="false"/>
    <EntitySet Name="Orders" EntityType="TradeModel.Order"/>
    <EntitySet Name="Order_Details" EntityType="TradeModel.Order_Detail" sap:creatable="false"
      sap:updatable="false"/>
    <EntitySet Name="Employees" EntityType="TradeModel.Employee" sap:sortable="false"/>
    <EntitySet Name="Alphabetical_lists" EntityType="TradeModel.Alphabetical_list"/>
    <EntitySet Name="Shippers" EntityType="TradeModel.Shipper" sap:addressable="false"/>
    <AssociationSet Name="FK_Orders_Customers" Association="TradeModel.FK_Orders_Customers">
     <End Role="Customers" EntitySet="Customers"/><End Role="Orders" EntitySet="Orders"/>
    </AssociationSet>
    <AssociationSet Name="FK_Details_Orders" Association="TradeModel.FK_Details_Orders">
     <End Role="Orders" EntitySet="Orders"/><End Role="Order_Details" EntitySet="Order_Details"/>
    </AssociationSet>
    <AssociationSet Name="Untold" Association="TradeModel.Untold">
     <End Role="Orders" EntitySet="Orders"/><End Role="Shipper" EntitySet="Shippers"/>
    </AssociationSet>
    <FunctionImport Name="Release" ReturnType="TradeModel.Order" EntitySet="Orders"
      m:HttpMethod="POST">
     <Parameter Name="OrderID" Type="Edm.Int32" Mode="In" Nullable="false"/>
     <Parameter Name="Note" Type="Edm.String" Mode="In" MaxLength="30"/>
    </FunctionImport>
    <FunctionImport Name="Cheapest" ReturnType="Edm.Decimal" m:HttpMethod="GET"/>
   </EntityContainer>
  </Schema>
 </edmx:DataServices>
</edmx:Edmx>
"""

V4 = b"""<?xml version="1.0" encoding="utf-8"?>
<!-- A comment, as generators leave them. -->
<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx">
 <edmx:Reference Uri="https://example.org/core.xml">
  <edmx:Include Namespace="Org.OData.Core.V1" Alias="Core"/>
 </edmx:Reference>
 <edmx:Reference Uri="https://example.org/capabilities.xml">
  <edmx:Include Namespace="Org.OData.Capabilities.V1" Alias="Cap"/>
 </edmx:Reference>
 <edmx:DataServices>
  <Schema Namespace="Trade.Model" Alias="Self" xmlns="http://docs.oasis-open.org/odata/ns/edm">
   <TypeDefinition Name="Money" UnderlyingType="Edm.Decimal" Precision="19" Scale="4"/>
   <EnumType Name="State"><Member Name="Open"/><Member Name="Shipped"/></EnumType>
   <ComplexType Name="Address">
    <Property Name="Street" Type="Edm.String"/>
    <Property Name="Geo" Type="Edm.GeographyPoint"/>
    <Property Name="Country" Type="Self.Country"/>
   </ComplexType>
   <ComplexType Name="Country"><Property Name="Code" Type="Edm.String" MaxLength="2"/></ComplexType>
   <EntityType Name="Thing" Abstract="true">
    <Key><PropertyRef Name="Id"/></Key>
    <Property Name="Id" Type="Edm.Guid" Nullable="false"/>
    <Property Name="ModifiedOn" Type="Edm.DateTimeOffset"/>
   </EntityType>
   <EntityType Name="Order" BaseType="Self.Thing" HasStream="true">
    <Property Name="Number" Type="Edm.String" MaxLength="10" Nullable="false"/>
    <Property Name="CustomerId" Type="Edm.Guid"/>
    <Property Name="State" Type="Self.State"/>
    <Property Name="Total" Type="Self.Money"/>
    <Property Name="Rate" Type="Edm.Decimal" Scale="variable"/>
    <Property Name="ShipTo" Type="Self.Address"/>
    <Property Name="Tags" Type="Collection(Edm.String)"/>
    <Property Name="Anything" Type="Edm.Untyped"/>
    <Property Name="Odd" Type="Elsewhere.Unknown"/>
    <NavigationProperty Name="Customer" Type="Self.Customer" Partner="Orders">
     <ReferentialConstraint Property="CustomerId" ReferencedProperty="Id"/>
    </NavigationProperty>
    <NavigationProperty Name="Lines" Type="Collection(Self.Line)" ContainsTarget="true"/>
    <NavigationProperty Name="Ghost" Type="Self.Ghost"/>
   </EntityType>
   <EntityType Name="Customer" BaseType="Self.Thing">
    <Property Name="no" Type="Edm.String"/>
    <Property Name="Name" Type="Edm.String"/>
    <Property Name="name" Type="Edm.String"/>
    <NavigationProperty Name="Orders" Type="Collection(Self.Order)" Partner="Customer"/>
   </EntityType>
   <EntityType Name="Line"><Key><PropertyRef Name="No"/></Key>
    <Property Name="No" Type="Edm.Int32" Nullable="false"/></EntityType>
   <EntityType Name="Report"><Property Name="Text" Type="Edm.String"/></EntityType>
   <EntityType Name="Measure"><Key><PropertyRef Name="At"/></Key>
    <Property Name="At" Type="Edm.Double" Nullable="false"/></EntityType>
   <Action Name="Confirm" IsBound="true">
    <Parameter Name="it" Type="Self.Order"/>
    <Parameter Name="reason" Type="Edm.String" MaxLength="60"/>
    <Parameter Name="lines" Type="Collection(Self.Line)"/>
   </Action>
   <Action Name="ConfirmAll" IsBound="true">
    <Parameter Name="them" Type="Collection(Self.Order)"/>
   </Action>
   <Action Name="Close"><Parameter Name="day" Type="Edm.Date" Nullable="false"/></Action>
   <Action Name="Hidden"/>
   <EntityContainer Name="Container">
    <EntitySet Name="Orders" EntityType="Self.Order">
     <NavigationPropertyBinding Path="Customer" Target="Customers"/>
     <NavigationPropertyBinding Path="Ghost" Target="Ghosts"/>
     <Annotation Term="Core.OptimisticConcurrency">
      <Collection><PropertyPath>ModifiedOn</PropertyPath></Collection>
     </Annotation>
    </EntitySet>
    <EntitySet Name="Customers" EntityType="Self.Customer">
     <NavigationPropertyBinding Path="Orders" Target="Orders"/>
    </EntitySet>
    <EntitySet Name="Reports" EntityType="Self.Report"/>
    <EntitySet Name="Measures" EntityType="Self.Measure"/>
    <Singleton Name="Me" Type="Self.Customer"/>
    <ActionImport Name="CloseDay" Action="Self.Close"/>
   </EntityContainer>
   <Annotations Target="Self.Container/Customers">
    <Annotation Term="Cap.ChangeTracking">
     <Record><PropertyValue Property="Supported" Bool="true"/></Record>
    </Annotation>
    <Annotation Term="Cap.DeleteRestrictions">
     <Record><PropertyValue Property="Deletable" Bool="false"/></Record>
    </Annotation>
    <Annotation Term="Cap.FilterRestrictions">
     <Record><PropertyValue Property="NonFilterableProperties">
      <Collection><PropertyPath>Name</PropertyPath></Collection>
     </PropertyValue></Record>
    </Annotation>
   </Annotations>
  </Schema>
 </edmx:DataServices>
</edmx:Edmx>
"""

JSON = b"""{
 "$Version": "4.01", "$EntityContainer": "Trade.Model.Container",
 "$Reference": {"https://example.org/core.json": {"$Include": [
  {"$Namespace": "Org.OData.Core.V1", "$Alias": "Core"},
  {"$Namespace": "Org.OData.Capabilities.V1", "$Alias": "Cap"}]}},
 "Trade.Model": {
  "$Alias": "Self",
  "State": {"$Kind": "EnumType", "Open": 0},
  "Money": {"$Kind": "TypeDefinition", "$UnderlyingType": "Edm.Decimal", "$Precision": 19,
   "$Scale": 4},
  "Thing": {"$Kind": "EntityType", "$Abstract": true, "$Key": ["Id"], "Id": {"$Type": "Edm.Guid"}},
  "Order": {"$Kind": "EntityType", "$BaseType": "Self.Thing",
   "Number": {"$MaxLength": 10},
   "CustomerId": {"$Type": "Edm.Guid", "$Nullable": true},
   "State": {"$Type": "Self.State", "$Nullable": true},
   "Total": {"$Type": "Self.Money"},
   "Rate": {"$Type": "Edm.Decimal", "$Precision": 9},
   "Photo": {"$Type": "Edm.Stream"},
   "Tags": {"$Collection": true},
   "Customer": {"$Kind": "NavigationProperty", "$Type": "Self.Customer",
    "$ReferentialConstraint": {"CustomerId": "Id"}}},
  "Customer": {"$Kind": "EntityType", "$BaseType": "Self.Thing",
   "Name": {"$Nullable": true},
   "Orders": {"$Kind": "NavigationProperty", "$Collection": true, "$Type": "Self.Order",
    "$Partner": "Customer"}},
  "Confirm": [{"$Kind": "Action", "$IsBound": true, "$Parameter": [
   {"$Name": "it", "$Type": "Self.Order"}, {"$Name": "reason", "$MaxLength": 60}]}],
  "Container": {"$Kind": "EntityContainer",
   "Orders": {"$Collection": true, "$Type": "Self.Order",
    "$NavigationPropertyBinding": {"Customer": "Customers"},
    "@Core.OptimisticConcurrency": []},
   "Customers": {"$Collection": true, "$Type": "Self.Customer",
    "$NavigationPropertyBinding": {"Orders": "Orders"},
    "@Cap.ChangeTracking": {"Supported": true}},
   "Me": {"$Type": "Self.Customer"}}
 }}
"""
