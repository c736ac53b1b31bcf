//! Network ACLs, and what carries a tag.

use indexmap::IndexMap;

use super::{Ec2, Ec2Error, Tagged, answer, read, request};
use crate::model::{NetworkAcl, NetworkAclEntry, NetworkInterface, SecurityGroup, Subnet};

impl Ec2 {
    /// Every interface in these subnets.
    pub async fn describe_interfaces_in(&self, subnets: &[String]) -> Result<Vec<NetworkInterface>, Ec2Error> {
        let page = |page: Option<&str>| request::describe_network_interfaces_by_subnet(subnets, page);
        self.pages(subnets, page, answer::network_interfaces).await
    }

    /// The groups that carry a tag with this key.
    pub async fn tagged_groups(&self, key: &str) -> Result<Vec<SecurityGroup>, Ec2Error> {
        let keys = [key.to_owned()];
        let page = |page: Option<&str>| request::describe_tagged(Tagged::SecurityGroups, &keys, page);
        self.pages(&keys, page, answer::security_groups).await
    }

    /// The subnets that carry a tag with this key.
    pub async fn tagged_subnets(&self, key: &str) -> Result<Vec<Subnet>, Ec2Error> {
        let keys = [key.to_owned()];
        let page = |page: Option<&str>| request::describe_tagged(Tagged::Subnets, &keys, page);
        self.pages(&keys, page, answer::subnets).await
    }

    /// The ACLs that carry a tag with this key, whether or not they judge a subnet.
    pub async fn tagged_acls(&self, key: &str) -> Result<Vec<NetworkAcl>, Ec2Error> {
        let keys = [key.to_owned()];
        let page = |page: Option<&str>| request::describe_tagged(Tagged::NetworkAcls, &keys, page);
        self.pages(&keys, page, answer::network_acls).await
    }

    /// Makes an ACL that denies everything, and returns its id.
    ///
    /// A call with the token of an earlier one makes no second ACL.
    pub async fn create_network_acl(
        &self,
        vpc: &str,
        tags: &IndexMap<String, String>,
        token: &str,
    ) -> Result<String, Ec2Error> {
        let request = request::create_network_acl(vpc, tags, token, false);
        let action = request.action;
        let document = self.change(request).await?.unwrap_or_default();
        read(action, answer::created_acl(&document))
    }

    pub async fn create_network_acl_entry(&self, acl: &str, entry: &NetworkAclEntry) -> Result<(), Ec2Error> {
        self.done(request::create_network_acl_entry(acl, entry, false)).await
    }

    /// Lets another ACL judge the subnet of this association, which then has a new id.
    pub async fn replace_network_acl_association(&self, association: &str, acl: &str) -> Result<(), Ec2Error> {
        let request = request::replace_network_acl_association(association, acl, false);
        let action = request.action;
        let document = self.change(request).await?.unwrap_or_default();
        read(action, answer::replaced(&document))
    }

    /// Deletes an ACL that judges no subnet.
    pub async fn delete_network_acl(&self, acl: &str) -> Result<(), Ec2Error> {
        self.done(request::delete_network_acl(acl, false)).await
    }

    async fn done(&self, request: request::Request) -> Result<(), Ec2Error> {
        let action = request.action;
        let answer = self.change(request).await?;
        answer.map_or(Ok(()), |document| read(action, answer::done(&document, action)))
    }
}
